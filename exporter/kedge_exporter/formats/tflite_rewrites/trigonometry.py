"""Trigonometric and hyperbolic functions and their inverses; TFLite has sin, cos, tanh and atan2."""

import math

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import Node, Tensor

_TURN = (6.28125, 0.0019350051879882812, 3.0199160e-7)
"""2 pi in three parts; the first has few bits, so that multiples of it are exact."""
_HUGE = 1e15
"""Where x^2 + 1 is x^2 to every digit of a float32."""
_SMALL = 0.5


def sin(node: Node) -> Tensor:
    """The argument moves into one turn; LiteRT's own diverges for arguments of many turns."""
    return tf.sin(_within_a_turn(node.inputs[0]))


def cos(node: Node) -> Tensor:
    """As `sin`."""
    return tf.cos(_within_a_turn(node.inputs[0]))


def tan(node: Node) -> Tensor:
    """The quotient of the two, within one turn."""
    x = _within_a_turn(node.inputs[0])
    return tf.sin(x) / tf.cos(x)


def atan(node: Node) -> Tensor:
    """The angle of the point (1, x)."""
    return tf.atan2(node.inputs[0], tf.ones_like(node.inputs[0]))


def asin(node: Node) -> Tensor:
    """The angle of the point (sqrt(1 - x^2), x); NaN outside of [-1, 1], as there is no such point."""
    x = node.inputs[0]
    return tf.atan2(x, tf.sqrt((1.0 - x) * (1.0 + x)))


def acos(node: Node) -> Tensor:
    """The angle of the point (x, sqrt(1 - x^2))."""
    x = node.inputs[0]
    return tf.atan2(tf.sqrt((1.0 - x) * (1.0 + x)), x)


def sinh(node: Node) -> Tensor:
    """Half of exp(x) - exp(-x), from roots that do not overflow; its series near zero, where that is blind."""
    x = node.inputs[0]
    root = tf.exp(tf.abs(x) / 2.0)
    far = tf.sign(x) * (root / 2.0 * root - 0.5 / root / root)
    square = x * x
    near = x * (1.0 + square * (1 / 6 + square * (1 / 120 + square * (1 / 5040 + square / 362880))))
    return tf.where(tf.abs(x) < _SMALL, near, far)


def cosh(node: Node) -> Tensor:
    """`(exp(x) + exp(-x)) / 2`, from halves that do not overflow before the sum does."""
    root = tf.exp(tf.abs(node.inputs[0]) / 2.0)
    return root / 2.0 * root + 0.5 / root / root


def asinh(node: Node) -> Tensor:
    """`log(x + sqrt(x^2 + 1))` of the absolute value, with its sign; where the square overflows, `log(2 x)`."""
    x = node.inputs[0]
    size = tf.abs(x)
    square = tf.minimum(size, _HUGE) ** 2
    # 1 + (size + square / (1 + sqrt)) keeps the digits of a small x that x + sqrt(x^2 + 1) drops.
    near = _log1p(size + square / (1.0 + tf.sqrt(square + 1.0)))
    return tf.sign(x) * tf.where(size < _HUGE, near, _log_of_twice(size))


def acosh(node: Node) -> Tensor:
    """`log(x + sqrt(x^2 - 1))`; NaN below 1."""
    x = node.inputs[0]
    near = tf.minimum(x, _HUGE)
    return tf.where(x < _HUGE, tf.math.log(near + tf.sqrt((near - 1.0) * (near + 1.0))), _log_of_twice(x))


def atanh(node: Node) -> Tensor:
    """`log((1 + x) / (1 - x)) / 2`."""
    x = node.inputs[0]
    size = tf.abs(x)
    return tf.sign(x) * 0.5 * _log1p(2.0 * size / (1.0 - size))


def _within_a_turn(x: Tensor) -> Tensor:
    turns = tf.round(x / (2.0 * math.pi))
    for part in _TURN:
        x -= turns * part
    return x


def _log_of_twice(x: Tensor) -> Tensor:
    """`log(2 x)` where 2 x may overflow.

    Infinity and NaN are passed on: LiteRT takes logarithms of 88 and 89 of them on processors without AVX-512.
    """
    return tf.where(x <= tf.float32.max, tf.math.log(x) + math.log(2.0), x)


def _log1p(x: Tensor) -> Tensor:
    """`log(1 + x)` with the digits of a small x: the rounding of 1 + x is divided out again (W. Kahan)."""
    rounded = 1.0 + x
    added = rounded - 1.0
    exact = tf.math.log(rounded) * (x / added)
    return tf.where(added == 0.0, x, tf.where(rounded < math.inf, exact, rounded))
