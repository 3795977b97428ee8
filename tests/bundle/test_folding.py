import numpy as np
import pytest

from kedge_bundle.folding import folded


@pytest.mark.parametrize("shape", [(64, 3), (9216, 3), (5000, 7), (7777, 1), (1100, 64), (70, 5000)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float64"])
def test_large_tables_are_reduced_as_numpy_reduces_them(shape: tuple[int, int], dtype: str):
    table = (np.random.default_rng(0).uniform(0, 200, shape)).astype(dtype)
    np.testing.assert_array_equal(folded(table, np.minimum), table.min(axis=0))
    np.testing.assert_array_equal(folded(table, np.maximum), table.max(axis=0))


def test_one_value_that_is_none_is_seen_in_a_large_table():
    table = np.zeros((9216, 3), np.float32)
    table[9215, 1] = np.nan
    assert np.isnan(folded(table, np.maximum)).tolist() == [False, True, False]
