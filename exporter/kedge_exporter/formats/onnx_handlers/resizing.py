"""Resizing images with filters that ONNX lacks or that onnxruntime has otherwise: bicubic, area, antialiasing, Lanczos.

Such a filter is one matrix for the rows and one for the columns. TensorFlow itself computes them here, by resizing the
rows of an identity matrix; sizes must be known for that.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.nearest import has_own_length
from kedge_exporter.formats.onnx_handlers.rewriting import NoOnnxForm, Rewriting

_Resize = Callable[[NDArray[Any], list[int], int], Any]
"""Resizes an image to a size as the node would resize one of its axes: image, size, axis (0 rows, 1 columns)."""
_SIZE_ADVICE = "give the input a shape, or resize with bilinear or nearest, without antialiasing"
_OF_A_SHAPE = {"Cast", "Slice", "StridedSlice", "Squeeze", "Identity", "Gather"}
"""What stands between a shape and the part of it that is read."""


def resize_bilinear(new: Rewriting) -> None:
    """`ResizeBilinear` answers float32 whatever it reads; tf2onnx, which does the rest, forgets that.

    For known sizes tf2onnx tells ONNX the scales, of which a size just below the wanted one may come, and for others
    the size itself: where the scales will not do, it is let read the size from a cast.
    """
    if new.dtype(new.inputs[0]) != TensorProto.FLOAT:
        new.cast_input(0, TensorProto.FLOAT)
    shape = new.shape(new.inputs[0])
    if shape is not None and min(shape[1:3]) >= 0 and new.node.inputs[1].is_const():
        sizes = new.value(1, "the size")
        if not all(has_own_length(before, int(after)) for before, after in zip(shape[1:3], sizes, strict=True)):
            new.cast_input(1, TensorProto.INT64)


def resize_bicubic(new: Rewriting) -> str:
    """`ResizeBicubic`."""
    return _by_matrices(
        new, _resizer(new, tf.raw_ops.ResizeBicubic, half_pixel_centers=_flag(new, "half_pixel_centers"))
    )


def resize_area(new: Rewriting) -> str:
    """`ResizeArea`."""
    return _by_matrices(new, _resizer(new, tf.raw_ops.ResizeArea))


def scale_and_translate(new: Rewriting) -> str:
    """`ScaleAndTranslate`: every filter, with and without antialiasing."""
    scale, translation = _scale(new), new.value(3, "the translation")
    kernel = new.attribute("kernel_type", b"lanczos3").decode()

    def resize(image: NDArray[Any], size: list[int], axis: int) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
        scales, moves = np.ones(2, np.float32), np.zeros(2, np.float32)
        scales[axis], moves[axis] = scale[axis], translation[axis]
        return tf.raw_ops.ScaleAndTranslate(
            images=image,
            size=size,
            scale=scales,
            translation=moves,
            kernel_type=kernel,
            antialias=_flag(new, "antialias"),
        )

    return _by_matrices(new, resize)


def _scale(new: Rewriting) -> NDArray[Any]:
    """The scale, a constant or, as `tf.image.resize` writes it, the new size divided by the old one."""
    source = new.node.inputs[2]
    if source.is_const():
        return new.value(2, "the scale")
    shape, size = new.shape(new.inputs[0]), new.value(1, "the size")
    root = source.inputs[1] if source.type in {"Div", "RealDiv"} else source
    while root.type in _OF_A_SHAPE:
        root = root.inputs[0]
    if root.type != "Shape" or root.input[0] != new.inputs[0] or shape is None or min(shape[1:3]) < 0:
        raise NoOnnxForm("needs images of a known height and width", _SIZE_ADVICE)
    return np.asarray(size / np.asarray(shape[1:3]), np.float32)


def _flag(new: Rewriting, name: str) -> bool:
    return bool(new.attribute(name, 0))


def _resizer(new: Rewriting, op: Callable[..., Any], **attributes: bool) -> _Resize:
    def resize(image: NDArray[Any], size: list[int], _axis: int) -> Any:  # noqa: ANN401
        return op(images=image, size=size, align_corners=_flag(new, "align_corners"), **attributes)

    return resize


def _by_matrices(new: Rewriting, resize: _Resize) -> str:
    """Images (rows, height, width, channels) times a matrix for the height and one for the width."""
    images = new.inputs[0]
    shape, size = new.shape(images), new.value(1, "the size")
    if shape is None or min(shape[1:3]) < 0:
        raise NoOnnxForm("needs images of a known height and width", _SIZE_ADVICE)
    resized = new.cast(images, TensorProto.FLOAT)
    for axis, equation in enumerate(("oh,nhwc->nowc", "ow,nhwc->nhoc")):
        weights = _matrix(resize, shape[1 + axis], int(size[axis]), axis)
        resized = new.add("Einsum", new.constant(weights), resized, equation=equation)
    return resized


def _matrix(resize: _Resize, before: int, after: int, axis: int) -> NDArray[np.float32]:
    """The weights of one axis, shape (after, before): an image one pixel wide with one channel for each place."""
    image = np.eye(before, dtype=np.float32).reshape((1, before, 1, before) if axis == 0 else (1, 1, before, before))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        answer = session.run(resize(image, [after, 1] if axis == 0 else [1, after], axis))
    return np.asarray(answer, np.float32).reshape(after, before)
