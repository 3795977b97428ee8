"""Adding up what goes to the same place."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import Case, integers, normal

IDS = np.array([0, 2, 1, -1, 0, 2], np.int32)
PLACES = np.array([[1], [3], [1]], np.int32)
TWO_PLACES = np.array([[0, 1], [2, 0], [0, 1]], np.int64)
COUNTED = integers(0, 7, 3, 8)


def update_slice(_: object, tensor: object, update: object, start: object) -> object:
    from keras import ops  # noqa: PLC0415 (in the child process only)

    return ops.slice_update(tensor, start, update)


CASES = {
    **{
        f"segments, {kind}": Case(
            lambda tf, x, s, kind=kind: getattr(tf.math, f"unsorted_segment_{kind}")(x, s, 4), (normal(6, 3), IDS)
        )
        for kind in ("sum", "prod", "max", "min")
    },
    "segments of integers": Case(lambda tf, x, s: tf.math.unsorted_segment_max(x, s, 4), (integers(-9, 9, 6, 2), IDS)),
    "segments before opset 18": Case(
        lambda tf, x, s: tf.math.unsorted_segment_max(x, s, 4),
        (normal(6, 3), IDS),
        opset=17,
        refused=("UnsortedSegmentMax", "needs opset 18; --opset 18"),
    ),
    "a place twice": Case(lambda tf, i, u: tf.scatter_nd(i, u, [6]), (PLACES, normal(3))),
    "places of two axes": Case(lambda tf, i, u: tf.scatter_nd(i, u, [3, 2]), (TWO_PLACES, normal(3))),
    "added to a tensor": Case(
        lambda tf, x, i, u: tf.tensor_scatter_nd_add(x, i, u), (normal(4, 2), PLACES, normal(3, 2))
    ),
    "counts": Case(lambda tf, x: tf.math.bincount(x, minlength=5, maxlength=5, axis=-1), (COUNTED,)),
    "counts with weights": Case(
        lambda tf, x, w: tf.math.bincount(x, weights=w, minlength=5, maxlength=5, axis=-1), (COUNTED, normal(3, 8))
    ),
    "which numbers come": Case(
        lambda tf, x: tf.math.bincount(x, minlength=5, maxlength=5, axis=-1, binary_output=True, dtype=tf.float32),
        (COUNTED,),
    ),
    "counts before opset 16": Case(
        lambda tf, x: tf.math.bincount(x, minlength=5, maxlength=5, axis=-1), (COUNTED,), opset=15
    ),
    "a slice that is put into a tensor": Case(
        update_slice,
        (normal(3, 5), normal(2, 2), np.array([1, 2], np.int32)),
        ((None, 5), (2, 2), (2,)),
    ),
    "a slice that would leave it": Case(
        update_slice,
        (normal(3, 5), normal(2, 2), np.array([-1, 9], np.int32)),
        ((None, 5), (2, 2), (2,)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_meets_is_added_up(check: Callable[[str], None], name: str) -> None:
    check(name)
