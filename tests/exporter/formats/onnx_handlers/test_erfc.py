"""The complement of the error function."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import SPECIAL, Case, normal

CASES = {
    "float32": Case(lambda tf, x: tf.math.erfc(x), (normal(2, 5),)),
    "float64": Case(lambda tf, x: tf.math.erfc(x), (normal(2, 5).astype(np.float64),), refused=("Erfc", "float64")),
    "float16": Case(lambda tf, x: tf.math.erfc(x), (normal(2, 5).astype(np.float16),), tolerance=2e-3),
    "special values": Case(lambda tf, x: tf.math.erfc(x), (SPECIAL,)),
    "any rank and no rows": Case(lambda tf, x: tf.math.erfc(x), (np.zeros((0, 3, 2), np.float32),), ((None, None, 2),)),
}


@pytest.mark.parametrize("name", CASES)
def test_erfc_is_tensorflows(check: Callable[[str], None], name: str) -> None:
    check(name)
