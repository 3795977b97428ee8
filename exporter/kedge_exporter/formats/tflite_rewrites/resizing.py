"""Resizing that TFLite has no op for (bicubic, Lanczos, antialiased): linear maps of rows and of columns.

Each output row is a weighted sum of input rows, and the weights are the same for every image. They are asked of
TensorFlow's own op, once, with the unit matrix for an image.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Tensor

_Resize = Callable[[Tensor, list[int]], Tensor]
_FIXED = "its sizes are not fixed; give the model's input a fixed height and width"


def resize_bicubic(node: Node) -> Tensor:
    """`ResizeBicubic`, shape (rows, height, width, channels)."""

    def resize(image: Tensor, size: list[int]) -> Tensor:
        return tf.raw_ops.ResizeBicubic(
            images=image,
            size=size,
            align_corners=node.attribute("align_corners"),
            half_pixel_centers=node.attribute("half_pixel_centers"),
        )

    return _as_products(node, lambda _axis: resize)


def is_of_integers(operation: Any) -> bool:  # noqa: ANN401 (TensorFlow ships no types)
    """Whether the image's values are integers."""
    return not operation.inputs[0].dtype.is_floating


def resize_bilinear(node: Node) -> Tensor:
    """`ResizeBilinear` of integers, which TensorFlow answers in float32."""
    return tf.raw_ops.ResizeBilinear(
        images=tf.cast(node.inputs[0], tf.float32),
        size=node.inputs[1],
        align_corners=node.attribute("align_corners"),
        half_pixel_centers=node.attribute("half_pixel_centers"),
    )


def scale_and_translate(node: Node) -> Tensor:
    """`ScaleAndTranslate`: antialiased and Lanczos resizing."""
    scale, translation = node.constants[2:4]
    if scale is None or translation is None:
        raise CannotRewrite(_FIXED)

    def resizer(axis: int) -> _Resize:
        along = np.ones(2, np.float32), np.zeros(2, np.float32)
        along[0][0], along[1][0] = scale[axis], translation[axis]
        return lambda image, size: tf.raw_ops.ScaleAndTranslate(
            images=image,
            size=size,
            scale=along[0],
            translation=along[1],
            kernel_type=node.text("kernel_type"),
            antialias=node.attribute("antialias"),
        )

    return _as_products(node, resizer)


def _as_products(node: Node, resizer: Callable[[int], _Resize]) -> Tensor:
    image, size = tf.cast(node.inputs[0], tf.float32), node.constants[1]
    _, height, width, channels = image.shape
    if size is None or height is None or width is None or channels is None:
        raise CannotRewrite(_FIXED)
    rows = _weights(resizer(0), height, int(size[0]))
    columns = _weights(resizer(1), width, int(size[1]))
    tall = tf.matmul(rows, tf.reshape(image, [-1, height, width * channels]))
    lines = tf.matmul(columns, tf.reshape(tall, [-1, width, channels]))
    return tf.reshape(lines, [-1, int(size[0]), int(size[1]), channels])


def _weights(resize: _Resize, size_in: int, size_out: int) -> NDArray[Any]:
    """How much of every input row goes into every output row, shape (size_out, size_in)."""
    with tf.init_scope():
        units = np.eye(size_in, dtype=np.float32).reshape(1, size_in, 1, size_in)
        weights: NDArray[Any] = resize(tf.constant(units), [size_out, 1]).numpy()
    return weights.reshape(size_out, size_in)
