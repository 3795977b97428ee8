"""Tables in a graph; those of Keras' layers are tested with models."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import Case

WORDS = np.array([[b"a", b"c"], ["\u00e4".encode(), b""]], object)


def look_up(tf: object, words: object, key: str = "a") -> object:
    with tf.init_scope():  # type: ignore[attr-defined]
        entries = tf.lookup.KeyValueTensorInitializer([key, "\u00e4"], tf.constant([5, -7], tf.int64))  # type: ignore[attr-defined]
        table = tf.lookup.StaticHashTable(entries, 3)  # type: ignore[attr-defined]
    KEPT.append(table)
    return table.lookup(words)


KEPT: list[object] = []
"""A table goes with the object that made it."""

CASES = {
    "known and unknown words": Case(look_up, (WORDS,)),
    "no rows": Case(look_up, (np.zeros((0, 2), object),)),
    "any shape": Case(lambda tf, x: look_up(tf, x) + 1, (WORDS,), ((None, None),)),
    "two tables": Case(lambda tf, x: look_up(tf, x) + look_up(tf, x, "c"), (WORDS,)),
    "a shape that goes on": Case(lambda tf, x: tf.one_hot(look_up(tf, x), 6), (WORDS,)),
}


@pytest.mark.parametrize("name", CASES)
def test_tables_are_looked_up(check: Callable[[str], None], name: str) -> None:
    check(name)
