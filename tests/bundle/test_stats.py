import numpy as np
import pytest
from pydantic import ValidationError

from kedge_bundle.stats import InputStats, stats_of_data


def test_statistics_of_data_match_numpy():
    array = np.random.default_rng(3).normal(5, 2, (40, 6)).astype(np.float32)
    stats = stats_of_data("x", array, n=40)
    assert stats is not None
    np.testing.assert_allclose(stats.mean, array.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stats.std, array.std(0), rtol=1e-5)
    np.testing.assert_allclose(stats.min, array.min(0))
    assert (stats.n, stats.source, stats.features) == (40, "data", 6)


def test_strings_and_columns_without_a_value_have_no_statistics():
    assert stats_of_data("s", np.array([b"a"], object), n=1) is None
    assert stats_of_data("x", np.full((3, 1), np.nan, np.float32), n=3) is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mean": (1.0,), "std": (1.0, 2.0)},
        {"mean": (1.0,)},
        {"min": (0.0,)},
        {"mean": (float("nan"),), "std": (1.0,)},
    ],
)
def test_statistics_that_say_nothing_or_contradict_themselves_are_refused(fields: dict):
    with pytest.raises(ValidationError):
        InputStats(input="x", source="data", **fields)
