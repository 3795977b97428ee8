"""Ops that TFLite has, but answers otherwise at the edges of their domain."""

from typing import Any

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import Node, Tensor


def softplus(node: Node) -> Tensor:
    """`log(1 + exp(x))`, written so that exp() does not overflow: TFLite's own answers infinity beyond 88."""
    x = node.inputs[0]
    return tf.nn.relu(x) + tf.math.log(1.0 + tf.exp(-tf.abs(x)))


def is_of_floats(operation: Any) -> bool:  # noqa: ANN401 (TensorFlow ships no types)
    """Whether the op works on floats."""
    return bool(operation.inputs[0].dtype.is_floating)


def floor_div(node: Node) -> Tensor:
    """Division of floats by zero is infinite or NaN; TFLite's op stops the run."""
    x, y = node.inputs
    return tf.floor(x / y)


def may_be_of_zero(operation: Any) -> bool:  # noqa: ANN401
    """Whether it is not the root of a variance and an epsilon, as in every normalization of layers and batches."""
    producer = operation.inputs[0].op
    return producer.type not in {"Add", "AddV2"} or any(tensor.op.type == "Sum" for tensor in producer.inputs)


def rsqrt(node: Node) -> Tensor:
    """LiteRT answers NaN at zero, also where x times it is the L2 norm of x, which LiteRT has an op for."""
    return tf.sqrt(tf.math.reciprocal(node.inputs[0]))
