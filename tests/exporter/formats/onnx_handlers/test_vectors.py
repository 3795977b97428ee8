"""Vectors and ranks along the last axis."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import Case, integers, normal

SCORES = normal(5, 4)
SCORES[3, 1] = np.inf
SCORES[4, 0] = np.nan

CASES = {
    "cross": Case(lambda tf, a, b: tf.linalg.cross(a, b), (normal(2, 4, 3), normal(2, 4, 3))),
    "in the best two": Case(
        lambda tf, t, s: tf.math.in_top_k(t, s, 2), (np.array([0, 1, -1, 1, 1], np.int32), SCORES), ((None,), (None, 4))
    ),
    "in the best two, unknown class": Case(
        lambda tf, t, s: tf.math.in_top_k(t, s, 2), (np.array([9, 1, 2, 3, 0], np.int64), SCORES), ((None,), (None, 4))
    ),
    "products of int32": Case(lambda tf, x: tf.math.cumprod(x, axis=1), (integers(-2, 3, 2, 5),)),
    "products of int64": Case(lambda tf, x: tf.math.cumprod(x, axis=-1), (integers(1, 3, 2, 3, 7, dtype="int64"),)),
    "products of floats": Case(lambda tf, x: tf.math.cumprod(x, axis=1), (normal(2, 5),)),
}


@pytest.mark.parametrize("name", CASES)
def test_vectors_are_tensorflows(check: Callable[[str], None], name: str) -> None:
    check(name)
