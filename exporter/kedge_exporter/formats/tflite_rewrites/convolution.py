"""Convolutions over volumes in groups; TFLite knows groups for images only."""

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Tensor


def conv_3d(node: Node) -> Tensor | None:
    """`Conv3D` with fewer channels in the kernel than in the volume: one convolution for each group of channels."""
    volume, kernel = node.inputs
    if node.text("data_format") != "NDHWC":
        raise CannotRewrite("its channels come first; build the layer with data_format='channels_last'")
    channels, taken = volume.shape[-1], kernel.shape[-2]
    if channels == taken:
        return None
    if channels is None or taken is None:
        raise CannotRewrite("it is grouped over an unknown number of channels; fix the number of channels")
    groups = channels // taken
    parts = zip(tf.split(volume, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    strides, dilations, padding = node.integers("strides"), node.integers("dilations"), node.text("padding")
    return tf.concat([tf.nn.conv3d(v, k, strides, padding, dilations=dilations) for v, k in parts], axis=-1)
