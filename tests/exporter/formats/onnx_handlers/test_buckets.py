"""Counting boundaries."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import SPECIAL, Case, integers

EDGES = [-1.0, 0.0, 0.5, 2.0]
SORTED = np.array([EDGES, [0.0, 0.0, 0.0, 9.0]], np.float32)
VALUES = np.array([[-1.0, 0.0, 0.4999], [0.0, 9.0, -3.0]], np.float32)

BELOW = np.nextafter(np.array([[-1.0, 0.5, 2.0]] * 2, np.float32), -np.inf, dtype=np.float32)

CASES = {
    "boundaries, NaN and infinities": Case(
        lambda tf, x: tf.raw_ops.Bucketize(input=x, boundaries=EDGES),
        (np.concatenate([SPECIAL, BELOW], 1),),
    ),
    "no boundaries": Case(lambda tf, x: tf.raw_ops.Bucketize(input=x, boundaries=[]), (SPECIAL,)),
    "doubles": Case(lambda tf, x: tf.raw_ops.Bucketize(input=x, boundaries=EDGES), (SPECIAL.astype(np.float64),)),
    "integers": Case(lambda tf, x: tf.raw_ops.Bucketize(input=x, boundaries=EDGES), (integers(-3, 4, 2, 3, 2),)),
    "left": Case(lambda tf, s, v: tf.searchsorted(s, v), (SORTED, VALUES)),
    "right": Case(lambda tf, s, v: tf.searchsorted(s, v, side="right"), (SORTED, VALUES)),
}


@pytest.mark.parametrize("name", CASES)
def test_boundaries_belong_to_the_bucket_above(check: Callable[[str], None], name: str) -> None:
    check(name)
