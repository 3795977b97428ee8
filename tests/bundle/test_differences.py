"""The numbers of a report, each against a value worked out by hand."""

import numpy as np
import pytest

from kedge_bundle.differences import counts, differences


def test_errors_are_in_units_of_the_output() -> None:
    exact = np.zeros((2000, 1))
    actual = np.zeros((2000, 1), np.float32)
    actual[:10], actual[5] = -2.0, 4.0
    found = differences(exact, actual)
    assert found["max_abs_error"] == 4.0
    assert found["rms_error"] == pytest.approx(np.sqrt((9 * 4 + 16) / 2000))
    assert found["p999_error"] == 2.0


def test_units_in_the_last_place_are_those_of_the_outputs_dtype() -> None:
    exact = np.array([[1.0, 1024.0]])
    for dtype in (np.float32, np.float16):
        actual = np.array([[1.0, np.nextafter(dtype(1024), dtype(2048))]], dtype)
        assert differences(exact, actual)["max_ulps"] == 1.0


def test_the_cosine_of_turned_of_equal_and_of_zero_arrays() -> None:
    exact = np.array([[1.0, 1e200]])
    assert differences(exact, exact)["cosine"] == pytest.approx(1.0)
    assert differences(exact, -exact)["cosine"] == pytest.approx(-1.0)
    assert differences(np.zeros((1, 2)), np.zeros((1, 2), np.float32))["cosine"] is None


def test_top_1_counts_the_rows_that_can_be_called() -> None:
    exact = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.5], [0.50, 0.51, 0.0]])
    actual = exact.astype(np.float32)
    actual[2] = [0.51, 0.50, 0.0]  # its best two are closer than the error
    found = differences(exact, actual)
    assert (found["top1_agreement"], found["top1_too_close"]) == (1.0, 1)
    actual[0] = [0.0, 0.9, 0.95]
    found = differences(exact, actual)
    assert (found["top1_agreement"], found["top1_too_close"]) == (None, 3)  # half of the size is the error now
    swapped = np.array([[9.0, 0.0], [0.0, 9.0], [9.0, 0.0]])
    assert differences(swapped, np.array([[9, 0], [0, 9], [8, 0]], np.float32))["top1_agreement"] == 1.0
    assert differences(np.ones((4, 1)), np.ones((4, 1), np.float32))["top1_agreement"] is None


def test_what_is_not_finite_is_counted_by_side_and_left_out() -> None:
    exact, actual = np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.nan, 2.0], np.float32)
    assert counts(exact, actual) == {"nan_expected": 1, "nan_actual": 2, "inf_expected": 1, "inf_actual": 0}
    assert differences(exact, actual)["max_abs_error"] == 1.0
    assert differences(exact[:2], actual[:2]) == {}


def test_a_value_beyond_the_dtype_has_no_units_in_the_last_place() -> None:
    assert differences(np.array([1e300, 1.0]), np.array([1.0, 1.0], np.float32))["max_ulps"] == 0.0
