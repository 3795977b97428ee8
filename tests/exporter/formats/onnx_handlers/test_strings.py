"""Comparing strings."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import Case, integers

WORDS = np.array([[b"a", b""], ["\u00e4".encode(), b"b"]], object)

CASES = {
    "equal to a constant": Case(lambda tf, x: tf.equal(x, "a"), (WORDS,)),
    "a constant equal to": Case(lambda tf, x: tf.equal("\u00e4", x), (WORDS,)),
    "not equal to nothing": Case(lambda tf, x: tf.not_equal(x, ""), (WORDS,)),
    "numbers": Case(lambda tf, x: (tf.equal(x, 2), tf.not_equal(x, 2)), (integers(0, 4, 2, 5),)),
    "two computed strings": Case(
        lambda tf, x, y: tf.equal(x, y), (WORDS, WORDS), refused=("Equal", "with each other", "with a constant only")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_strings_are_compared(check: Callable[[str], None], name: str) -> None:
    check(name)
