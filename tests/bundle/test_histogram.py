import numpy as np
import pytest
from pydantic import ValidationError

from kedge_bundle.cases import Case
from kedge_bundle.histogram import BINS, ErrorHistogram, OutputHistogram, edges
from kedge_bundle.rounding import Yardstick


def test_every_value_stands_in_one_bin_of_half_a_decade():
    found = ErrorHistogram.of(np.array([[0.0, 2e-7], [5e-7, 4e-1]]))
    assert found.equal == 1
    filled = {index: count for index, count in enumerate(found.counts) if count}
    assert filled == {18: 1, 19: 1, 31: 1}
    for index, error in ((18, 2e-7), (19, 5e-7), (31, 0.4)):
        assert 10 ** edges()[index] <= error < 10 ** edges()[index + 1]


def test_what_is_beyond_the_edges_is_counted_and_nan_is_not():
    found = ErrorHistogram.of(np.array([1e-300, 5e-324, 1.0, 7.0, np.inf, np.nan, -0.0]))
    assert (found.equal, found.counts[0], found.counts[-1], found.values) == (1, 2, 3, 6)


def test_an_edge_belongs_to_the_bin_above_it():
    found = ErrorHistogram.of(10.0 ** np.array([-16.0, -15.5, -8.0]))
    assert [index for index, count in enumerate(found.counts) if count] == [0, 1, 16]


def test_histograms_add_up_to_that_of_all_values():
    errors = 10.0 ** np.random.default_rng(0).uniform(-18, 1, 1000)
    errors[::10] = 0
    parts = [ErrorHistogram.of(part) for part in np.split(errors, 4)]
    assert sum(parts, start=ErrorHistogram()) == ErrorHistogram.of(errors)


def test_the_median_is_that_of_the_values_to_half_a_decade():
    errors = np.array([0.0, 2e-8, 3e-8, 3.1e-8, 1e-3])
    assert ErrorHistogram.of(errors).median == pytest.approx(10**-7.5)
    assert ErrorHistogram.of(np.zeros(3)).median == 0
    assert np.isnan(ErrorHistogram().median)


def test_float32_errors_count_as_well():
    assert ErrorHistogram.of(np.array([1e-40, 0], np.float32)).counts[0] == 1


def test_a_histogram_of_other_bins_is_refused():
    with pytest.raises(ValidationError, match=f"expected {BINS} counts of values, got 3"):
        ErrorHistogram(counts=(1, 2, 3))
    with pytest.raises(ValidationError, match="the least -1"):
        ErrorHistogram(counts=(-1,) * BINS)


def test_histograms_of_two_outputs_do_not_add():
    one = OutputHistogram(format="onnx", output="a", artifact=ErrorHistogram(equal=1), keras=ErrorHistogram(equal=2))
    both = one + one
    assert (both.artifact.equal, both.keras.equal) == (2, 4)
    with pytest.raises(ValueError, match="'a' of onnx is not 'b' of onnx"):
        one + one.model_copy(update={"output": "b"})


def test_the_errors_of_a_yardstick_are_what_is_counted():
    exact = {"y": np.array([[1.0, 100.0], [0.5, 50.0]])}
    answers = {"y": (exact["y"] * np.array([[1, 1 + 1e-6], [1, 1]])).astype(np.float64)}
    case = Case("typical-2", {"x": np.zeros((2, 1))}, answers, exact)
    measure = Yardstick.of([case])
    found = ErrorHistogram.of(measure.errors("y", "typical", answers["y"], exact["y"]))
    assert (found.equal, found.values) == (3, 4)
    assert 10 ** edges()[found.counts.index(1)] == pytest.approx(1e-6, rel=3)


def test_a_histogram_survives_its_json():
    one = OutputHistogram(
        format="onnx", output="a", artifact=ErrorHistogram.of(np.array([1e-7])), keras=ErrorHistogram(equal=2)
    )
    assert OutputHistogram.model_validate_json(one.model_dump_json()) == one
