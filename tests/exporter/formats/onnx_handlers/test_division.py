"""Division of integers and remainders."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import SPECIAL, Case, integers

X, Y = np.array([[7, -7, 7, -7, 6, -6, 0, 1, -1]] * 2), np.array([[2, 2, -2, -2, 3, -3, 5, 7, 7]] * 2)

CASES = {
    **{
        f"{op} of {dtype}": Case(lambda tf, x, y, op=op: getattr(tf.math, op)(x, y), (X.astype(dtype), Y.astype(dtype)))
        for op in ("floormod", "floordiv")
        for dtype in ("int8", "int16", "int32", "int64", "float32")
    },
    "floordiv of uint8": Case(
        lambda tf, x, y: tf.math.floordiv(x, y), tuple(integers(1, 200, 2, 9, dtype="uint8") for _ in range(2))
    ),
    "floormod of special values": Case(lambda tf, x, y: tf.math.floormod(x, y), (SPECIAL, SPECIAL[:, ::-1].copy())),
    "truncatemod": Case(lambda tf, x, y: tf.truncatemod(x, y), (X.astype(np.int32), Y.astype(np.int32))),
    "truncatemod of floats": Case(
        lambda tf, x, y: tf.truncatemod(x, y), (X.astype(np.float32), Y.astype(np.float32) + 0.5)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_quotients_are_rounded_down(check: Callable[[str], None], name: str) -> None:
    check(name)
