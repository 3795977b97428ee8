"""The shape that two shapes broadcast to."""

from collections.abc import Callable

import pytest

from tests.exporter.formats.onnx_handlers.case import Case, normal

CASES = {
    "the same rank": Case(
        lambda tf, x, y: tf.broadcast_to(x, tf.broadcast_dynamic_shape(tf.shape(x), tf.shape(y))),
        (normal(2, 1), normal(2, 5)),
    ),
    "another rank": Case(
        lambda tf, x, y: tf.broadcast_dynamic_shape(tf.shape(x), tf.shape(y)),
        (normal(5), normal(3, 1, 5)),
        ((None,), (None, 1, 5)),
    ),
    "no rows": Case(
        lambda tf, x, y: tf.broadcast_dynamic_shape(tf.shape(x), tf.shape(y)),
        (normal(0, 1), normal(1, 4)),
        ((None, 1), (None, 4)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_shapes_broadcast(check: Callable[[str], None], name: str) -> None:
    check(name)
