"""`Cumprod`; TFLite has running sums only."""

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Tensor


def cumprod(node: Node) -> Tensor:
    """Products of ever longer stretches: of 1, 2, 4 … neighbours, as many steps as the size has binary digits."""
    tensor, axis = node.inputs[0], node.constants[1]
    size = None if axis is None else tensor.shape[int(axis)]
    if axis is None or size is None:
        raise CannotRewrite("the size of its axis is not fixed; give the model's input a fixed size there")
    is_reversed = node.attribute("reverse")
    if node.attribute("exclusive"):
        tensor = _shifted(tensor, int(axis), 1, is_reversed=is_reversed)
    stretch = 1
    while stretch < size:
        tensor *= _shifted(tensor, int(axis), stretch, is_reversed=is_reversed)
        stretch *= 2
    return tensor


def _shifted(tensor: Tensor, axis: int, by: int, *, is_reversed: bool) -> Tensor:
    """The tensor moved along its axis, with ones where nothing came from."""
    size = tensor.shape[axis]
    moved, ones = tf.split(tensor, [size - by, by], axis), None
    if is_reversed:
        ones, kept = tf.split(tensor, [by, size - by], axis)
        return tf.concat([kept, tf.ones_like(ones)], axis)
    kept, ones = moved
    return tf.concat([tf.ones_like(ones), kept], axis)
