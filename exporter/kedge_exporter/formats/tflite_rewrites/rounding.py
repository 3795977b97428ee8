"""Ops that TFLite has, but answers otherwise at the edges of their domain."""

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import Node, Tensor


def softplus(node: Node) -> Tensor:
    """`log(1 + exp(x))`, written so that exp() does not overflow: TFLite's own answers infinity beyond 88."""
    x = node.inputs[0]
    return tf.nn.relu(x) + tf.math.log(1.0 + tf.exp(-tf.abs(x)))


def floor_div(node: Node) -> Tensor | None:
    """Division of floats by zero is infinite or NaN; TFLite's op stops the run."""
    x, y = node.inputs
    return tf.floor(x / y) if x.dtype.is_floating else None


def rsqrt(node: Node) -> Tensor | None:
    """LiteRT answers NaN at zero, also where x times it is the L2 norm of x, which LiteRT has an op for."""
    producer = node.producers[0]
    if producer.type in {"Add", "AddV2"} and not any(tensor.op.type == "Sum" for tensor in producer.inputs):
        return None  # a variance and an epsilon, as in every normalization of layers and batches
    return tf.sqrt(tf.math.reciprocal(node.inputs[0]))
