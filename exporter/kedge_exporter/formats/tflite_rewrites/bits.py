"""Bitwise ops of int32; TFLite has exclusive-or and the right shift."""

import numpy as np
import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Tensor

_SIGN = np.int32(-(2**31))
"""The sign bit of an int32."""


def bitwise_and(node: Node) -> Tensor:
    """From `a + b = (a xor b) + 2 (a and b)`, the sign bit apart."""
    return _and(*_int32(node))


def bitwise_or(node: Node) -> Tensor:
    """`(a xor b) xor (a and b)`."""
    a, b = _int32(node)
    return tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(a, b), _and(a, b))


def invert(node: Node) -> Tensor:
    """In two's complement, `-1 - x`."""
    x = node.inputs[0]
    if x.dtype not in {tf.int32, tf.int64}:
        raise CannotRewrite(f"it works on {x.dtype.name}; cast to int32 before it")
    return -1 - x


def left_shift(node: Node) -> Tensor:
    """A product with a power of two."""
    x, by = _int32(node)
    powers = tf.constant([1 << bit for bit in range(31)] + [int(_SIGN)], tf.int32)
    return x * tf.gather(powers, tf.clip_by_value(by, 0, 31))


def _int32(node: Node) -> tuple[Tensor, Tensor]:
    a, b = node.inputs
    if a.dtype != tf.int32:
        raise CannotRewrite(f"it works on {a.dtype.name}, TFLite's bitwise ops on int32; cast to int32 before it")
    return a, b


def _and(a: Tensor, b: Tensor) -> Tensor:
    is_negative = (a < 0) & (b < 0)
    a, b = _without_sign(a), _without_sign(b)
    twice = a + b - tf.bitwise.bitwise_xor(a, b)
    both = _without_sign(tf.bitwise.right_shift(twice, 1))
    return tf.bitwise.bitwise_xor(both, tf.where(is_negative, _SIGN, 0))


def _without_sign(x: Tensor) -> Tensor:
    return tf.bitwise.bitwise_xor(x, tf.where(x < 0, _SIGN, 0))
