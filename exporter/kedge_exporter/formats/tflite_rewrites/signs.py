"""`Abs` and `Sign` of int64; TFLite has them for float32 and int32."""

from typing import Any

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import Node, Tensor


def is_of_int64(operation: Any) -> bool:  # noqa: ANN401 (TensorFlow ships no types)
    """Whether the op works on int64."""
    return bool(operation.inputs[0].dtype == tf.int64)


def absolute(node: Node) -> Tensor:
    """The larger of the value and its negative."""
    return tf.maximum(node.inputs[0], -node.inputs[0])


def sign(node: Node) -> Tensor:
    """Whether it is positive, less whether it is negative."""
    x = node.inputs[0]
    return tf.cast(x > 0, tf.int64) - tf.cast(x < 0, tf.int64)
