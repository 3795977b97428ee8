"""`Einsum` of operands that share every axis (`bij,bij->b`); the converter makes invalid products of matrices of it."""

from typing import Any

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import Node, Tensor


def shares_every_axis(operation: Any) -> bool:  # noqa: ANN401 (TensorFlow ships no types)
    """Whether both operands have the same axes, each once, whatever their order."""
    equation = operation.get_attr("equation").decode()
    operands = equation.split("->")[0].split(",")
    return len(operands) == 2 and "." not in equation and _is_same(*operands)  # noqa: PLR2004 (two operands)


def shared_sum(node: Node) -> Tensor:
    """Multiply value by value, then sum over the axes that the answer does not have."""
    operands, answer = node.text("equation").split("->")
    left, right = operands.split(",")
    product = node.inputs[0] * tf.transpose(node.inputs[1], [right.index(axis) for axis in left])
    kept = [axis for axis in left if axis in answer]
    summed = tf.reduce_sum(product, [index for index, axis in enumerate(left) if axis not in answer])
    return tf.transpose(summed, [kept.index(axis) for axis in answer])


def _is_same(left: str, right: str) -> bool:
    return len(set(left)) == len(left) and sorted(left) == sorted(right)
