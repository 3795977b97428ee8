"""The sign bit of floats, and shifts."""

from collections.abc import Callable

import pytest

from tests.exporter.formats.onnx_handlers.case import SPECIAL, Case, integers

NUMBERS = SPECIAL[:, 1:]

CASES = {
    "the sign bit": Case(lambda tf, x: tf.bitcast(x, tf.int32) < 0, (NUMBERS,)),
    "the sign bit, masked as Keras does": Case(
        lambda tf, x: tf.bitwise.bitwise_and(tf.bitcast(x, tf.int32), tf.int32.min) < 0, (NUMBERS,)
    ),
    "all bits": Case(lambda tf, x: tf.bitcast(x, tf.int32), (NUMBERS,), refused=("Bitcast", "the sign of a float")),
    **{
        f"{way} of {dtype}": Case(
            lambda tf, x, y, way=way: getattr(tf.bitwise, way)(x, y),
            (integers(-99, 99, 2, 5, dtype=dtype), integers(0, 6, 2, 5, dtype=dtype)),
        )
        for way in ("left_shift", "right_shift")
        for dtype in ("int32", "int64")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_bits_are_where_tensorflow_has_them(check: Callable[[str], None], name: str) -> None:
    check(name)
