"""Pooling over volumes, of which TFLite has none: over height and width first, over depth then, each as a 2D pool."""

from collections.abc import Callable

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Tensor, sizes

_Pool = Callable[..., Tensor]


def max_pool_3d(node: Node) -> Tensor:
    """`MaxPool3D`, shape (rows, depth, height, width, channels): the largest of the largest is the largest."""
    return _in_two_steps(node, tf.nn.max_pool2d)


def avg_pool_3d(node: Node) -> Tensor:
    """`AvgPool3D`: padding counts in neither step, so that the mean of the means is the mean."""
    return _in_two_steps(node, tf.nn.avg_pool2d)


def _in_two_steps(node: Node, pool: _Pool) -> Tensor:
    if node.text("data_format") != "NDHWC":
        raise CannotRewrite("its channels come first; build the layer with data_format='channels_last'")
    _, *window, _ = node.integers("ksize")
    _, *strides, _ = node.integers("strides")
    padding = node.text("padding")
    volume = node.inputs[0]
    rows, depth, height, width, channels = sizes(volume)
    slices = tf.reshape(volume, [-1, height, width, channels])
    slices = pool(slices, window[1:], strides[1:], padding)
    _, height, width, _ = sizes(slices)
    columns = tf.reshape(slices, [-1, depth, height * width, channels])
    columns = pool(columns, [window[0], 1], [strides[0], 1], padding)
    return tf.reshape(columns, [rows, sizes(columns)[1], height, width, channels])
