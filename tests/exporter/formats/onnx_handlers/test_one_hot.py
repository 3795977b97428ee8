"""One row of a hot one."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import Case, integers

ODD = np.array([[-1, 0, 3, 4, -4, 7]], np.int32)

CASES = {
    "an index outside is nowhere, a negative one too": Case(lambda tf, x: tf.one_hot(x, 4), (ODD,)),
    "another axis": Case(lambda tf, x: tf.one_hot(x, 4, axis=1), (integers(0, 4, 2, 3),)),
    "other values": Case(lambda tf, x: tf.one_hot(x, 4, on_value=2.5, off_value=-1.0), (ODD,)),
    "no rows": Case(lambda tf, x: tf.one_hot(x, 4), (np.zeros((0, 2), np.int32),)),
    **{
        f"to {dtype}": Case(lambda tf, x, dtype=dtype: tf.one_hot(x, 4, dtype=dtype), (ODD,))
        for dtype in ("int32", "int64", "float16", "float64")
    },
    "to bool": Case(lambda tf, x: tf.one_hot(x, 4, on_value=True, off_value=False), (ODD,)),
    **{
        f"of {dtype}": Case(lambda tf, x: tf.one_hot(x, 4), (integers(0, 6, 2, 3, dtype=dtype),))
        for dtype in ("uint8", "int64")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_only_the_index_itself_is_hot(check: Callable[[str], None], name: str) -> None:
    check(name)
