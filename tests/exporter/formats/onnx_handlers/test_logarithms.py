"""Logarithms and exponentials close to zero."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import SPECIAL, Case, normal

SMALL = np.array([[1e-7, -1e-7, 1e-4, -1e-4, 1e-30, 0.0, -0.0]] * 2, np.float32)
FACTORS = np.array([[0.0, 0.0, 0.0, 2.0, 2.0, -1.0]] * 2, np.float32)
OTHERS = np.array([[0.0, np.inf, -1.0, 0.0, 3.0, 4.0]] * 2, np.float32)

CASES = {
    "log1p": Case(lambda tf, x: tf.math.log1p(x), (normal(2, 5),)),
    "log1p of special values": Case(lambda tf, x: tf.math.log1p(x), (SPECIAL,)),
    "log1p keeps small numbers": Case(lambda tf, x: tf.math.log1p(x) * 1e7, (SMALL,)),
    "log1p of doubles": Case(lambda tf, x: tf.math.log1p(x), (normal(2, 5).astype(np.float64),), tolerance=1e-13),
    "expm1": Case(lambda tf, x: tf.math.expm1(x), (normal(2, 5) * 4,)),
    "expm1 of special values": Case(lambda tf, x: tf.math.expm1(x), (SPECIAL * 50,)),
    "expm1 keeps small numbers": Case(lambda tf, x: tf.math.expm1(x) * 1e7, (SMALL,)),
    "expm1 of a large number": Case(lambda tf, x: tf.math.expm1(x), (np.array([[200.0, -200.0]], np.float32),)),
    "xlogy": Case(lambda tf, x, y: tf.math.xlogy(x, y), (FACTORS, OTHERS)),
    "xlog1py": Case(lambda tf, x, y: tf.math.xlog1py(x, y), (FACTORS, OTHERS)),
    "xdivy": Case(lambda tf, x, y: tf.math.xdivy(x, y), (FACTORS, OTHERS)),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_close_to_zero(check: Callable[[str], None], name: str) -> None:
    check(name)
