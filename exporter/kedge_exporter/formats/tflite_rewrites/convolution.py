"""Convolutions over volumes in groups, and biases of channels that come first; TFLite knows both for images only."""

from typing import Any

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import Node, Tensor, sizes

_IMAGE_RANK = 4


def is_grouped(operation: Any) -> bool:  # noqa: ANN401 (TensorFlow ships no types)
    """Whether the kernel takes fewer channels than there are; inside of loops the graph may not say."""
    channels, taken = operation.inputs[0].shape[-1], operation.inputs[1].shape[-2]
    return None not in {channels, taken} and channels != taken


def conv_3d(node: Node) -> Tensor:
    """`Conv3D`, shape (rows, depth, height, width, channels), as one convolution for each group of channels."""
    volume, kernel = node.inputs
    groups = volume.shape[-1] // kernel.shape[-2]
    parts = zip(tf.split(volume, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    strides, dilations, padding = node.integers("strides"), node.integers("dilations"), node.text("padding")
    return tf.concat([tf.nn.conv3d(v, k, strides, padding, dilations=dilations) for v, k in parts], axis=-1)


def is_bias_of_no_image(operation: Any) -> bool:  # noqa: ANN401
    """Whether channels come first in what is no image."""
    return bool(operation.get_attr("data_format") == b"NCHW" and operation.inputs[0].shape.rank != _IMAGE_RANK)


def bias_add(node: Node) -> Tensor:
    """`BiasAdd` with the channels on axis 1, whatever the rank."""
    values, bias = node.inputs
    return values + tf.reshape(bias, [1, -1, *([1] * (len(sizes(values)) - 2))])
