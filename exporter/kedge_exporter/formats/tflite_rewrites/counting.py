"""Counting indices: `DenseBincount`, behind `CategoryEncoding` and `keras.ops.bincount`."""

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import Node, Tensor


def dense_bincount(node: Node) -> Tensor:
    """Sum one row of a one-hot code for every index; indices beyond the last count nowhere, as in TensorFlow.

    Indices have the shape (n,) or (rows, n); the answer has (size,) or (rows, size).
    """
    indices, size, weights = node.inputs
    dtype = weights.dtype
    codes = tf.one_hot(indices, tf.cast(size, tf.int32), dtype=tf.float32 if dtype == tf.float64 else dtype)
    if node.attribute("binary_output"):
        # An empty row has no largest value: zero is the smallest that counts.
        return tf.maximum(tf.reduce_max(codes, axis=-2), tf.zeros([], dtype))
    has_weights = weights.shape.rank == indices.shape.rank and weights.shape.num_elements() != 0
    return tf.reduce_sum(codes * tf.expand_dims(weights, -1) if has_weights else codes, axis=-2)
