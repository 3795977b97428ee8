"""`Erf`, `Erfc` and `Erfinv` as polynomials; TFLite knows the error function only inside of gelu."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import tensorflow as tf
from numpy.polynomial import chebyshev

from kedge_exporter.formats.tflite_rewrites.node import Node, Tensor

_FLAT = 4.0
"""From here on erf() is 1 in float32."""
_ERF_DEGREE = 22
_LAST = 4.2
"""sqrt(-log(1 - x^2)) of the largest float32 below 1 is 3.99."""
_ERFINV_DEGREE = 24


def erf(node: Node) -> Tensor:
    """`x * P(x^2)`, P a Chebyshev interpolation."""
    return _erf(node.inputs[0])


def erfc(node: Node) -> Tensor:
    """`1 - erf(x)`: right to the digits of 1."""
    return 1.0 - _erf(node.inputs[0])


def erfinv(node: Node) -> Tensor:
    """`x * P(sqrt(-log(1 - x^2)))`, P a Chebyshev interpolation; infinite at 1 and NaN beyond, as TensorFlow's is."""
    x = node.inputs[0]
    distance = tf.sqrt(-tf.math.log((1.0 - x) * (1.0 + x)))
    inner = x * _polynomial(_erfinv_over_x, _LAST, _ERFINV_DEGREE, tf.minimum(distance, _LAST))
    return tf.where(tf.abs(x) < 1.0, inner, tf.where(tf.abs(x) > 1.0, math.nan, x * math.inf))


def _erf(x: Tensor) -> Tensor:
    x = tf.clip_by_value(x, -_FLAT, _FLAT)
    near = x * _polynomial(_erf_over_x, _FLAT**2, _ERF_DEGREE, x * x)
    return tf.clip_by_value(near, -1.0, 1.0)


def _erf_over_x(square: float) -> float:
    x = math.sqrt(square)
    return math.erf(x) / x if x else 2.0 / math.sqrt(math.pi)


def _erfinv_over_x(distance: float) -> float:
    complement = math.exp(-(distance**2))
    x = math.sqrt(1.0 - complement)
    if x < 1e-4:  # noqa: PLR2004 (the first term of the series, good to 1e-9 here)
        return math.sqrt(math.pi) / 2.0
    return -NormalDist().inv_cdf(complement / (1.0 + x) / 2.0) / math.sqrt(2.0) / x


def _polynomial(function: Callable[[float], float], end: float, degree: int, at: Tensor) -> Tensor:
    """The Chebyshev interpolation of a function on [0, end], evaluated by Clenshaw's recurrence."""
    points = chebyshev.chebpts1(degree + 1)
    values = np.array([function((point + 1.0) / 2.0 * end) for point in points])
    coefficients = [float(value) for value in chebyshev.chebfit(points, values, degree)]
    twice = at * (4.0 / end) - 2.0
    before, last = 0.0, coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        before, last = last, coefficient + twice * last - before
    return coefficients[0] + twice * 0.5 * last - before
