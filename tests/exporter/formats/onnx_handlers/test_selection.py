"""Choosing between two tensors."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import SPECIAL, Case, integers, normal

MASK = np.arange(20).reshape(2, 10) % 3 == 0

CASES = {
    "a zero wins over NaN and infinity": Case(lambda tf, m, x: tf.where(m, 0.0, x), (MASK, SPECIAL)),
    "NaN and infinity lose to a zero": Case(lambda tf, m, x: tf.where(m, x, tf.zeros_like(x)), (MASK, SPECIAL)),
    "a mask that broadcasts": Case(lambda tf, m, x: tf.where(m, x, -x), (np.array([[True], [False]]), normal(2, 4))),
    "three shapes": Case(
        lambda tf, m, x, y: tf.where(m, x, y),
        (np.array([True, False]), normal(3, 1), normal(1, 2)),
        ((2,), (None, 1), (1, 2)),
    ),
    "minus infinity, as masks of attention write it": Case(
        lambda tf, m, x: tf.nn.softmax(tf.where(m, x, -np.inf)), (MASK, normal(2, 10))
    ),
    **{
        dtype: Case(
            lambda tf, m, x, y: tf.where(m, x, y),
            (MASK, integers(0, 9, 2, 10, dtype=dtype), integers(0, 2, 2, 10, dtype=dtype)),
        )
        for dtype in ("bool", "int8", "uint8", "int16", "int32", "int64", "uint16", "float16", "float64")
    },
    "strings": Case(
        lambda tf, m, x: tf.where(m, x, "none"), (MASK[:, :2], np.array([[b"a", b""], [b"b", b"c"]], object))
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_chosen_leaves_no_trace(check: Callable[[str], None], name: str) -> None:
    check(name)
