"""Errors by channel, and what rounding explains of them."""

import numpy as np
import pytest

from kedge_exporter.culprit.axes import order_of_axes
from kedge_exporter.culprit.budget import errors_of, judge

RIGHT = np.array([[1.0, 1e-3], [-2.0, 2e-3]])


def test_each_channel_is_measured_by_its_own_size() -> None:
    found = errors_of(RIGHT + np.array([[0.0, 1e-4], [0.0, 0.0]]), RIGHT)
    assert found.largest == pytest.approx(0.05)
    assert errors_of(RIGHT + np.array([[1e-4, 0.0], [0.0, 0.0]]), RIGHT).largest == pytest.approx(5e-5)


def test_a_dead_channel_is_measured_by_the_others() -> None:
    right = np.array([[1.0, 0.0]])
    assert errors_of(np.array([[1.0, 1e-9]]), right).largest == pytest.approx(1e-9 * 2**23)
    assert errors_of(np.array([[1e-9]]), np.zeros((1, 1))).largest == pytest.approx(1e-9)


@pytest.mark.parametrize(
    ("actual", "right", "is_same"),
    [
        (np.inf, np.inf, True),
        (np.nan, np.nan, True),
        (np.inf, -np.inf, False),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (np.inf, 1.0, False),
    ],
)
def test_what_is_not_finite_must_be_the_same(actual: float, right: float, *, is_same: bool) -> None:
    assert errors_of(np.array([[actual, 1.0]]), np.array([[right, 1.0]])).largest == (0.0 if is_same else np.inf)


def test_a_number_for_each_row_is_one_channel() -> None:
    assert errors_of(np.array([1.0, 2.1]), np.array([1.0, 2.0])).largest == pytest.approx(0.05)


def test_integers_and_truths_are_compared_as_numbers() -> None:
    assert errors_of(np.array([[True]]), np.array([[False]])).largest == 1.0
    assert errors_of(np.array([[3]]), np.array([[3]])).largest == 0.0


def test_the_budget_is_that_of_the_channel_that_is_worst_off() -> None:
    """Keras rounds the first channel coarsely; that excuses nothing in the second."""
    right = np.ones((1000, 2))
    keras = right.copy()
    keras[0, 0] += 1e-2
    actual = right.copy()
    actual[0] += [5e-2, 2e-2]
    judgement = judge(errors_of(actual, right), errors_of(keras, right), "float32")
    assert judgement.error == pytest.approx(2e-2)
    assert judgement.keras_error == 0.0
    assert judgement.error > judgement.allowed


def test_a_few_roundings_are_always_allowed() -> None:
    right = np.ones((2, 2))
    exact = errors_of(right, right)
    for precision, small, large in (("float32", 1e-6, 1e-4), ("float16", 5e-3, 5e-2), ("float64", 1e-15, 1e-9)):
        within = judge(errors_of(right + small, right), exact, precision)
        beyond = judge(errors_of(right + large, right), exact, precision)
        assert within.error <= within.allowed
        assert beyond.error > beyond.allowed


def test_where_keras_overflows_the_artifact_may_as_well() -> None:
    right, keras = np.array([[1e5, 1.0]]), np.array([[np.inf, 1.0]])
    judgement = judge(errors_of(keras, right), errors_of(keras, right), "float16")
    assert judgement.error <= judgement.allowed


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2), (1, 0, 2, 3)])
def test_axes_are_put_into_keras_order_and_back(order: tuple[int, ...]) -> None:
    """Sizes are the same on purpose: values tell the orders apart."""
    right = np.random.default_rng(0).normal(size=(4, 4, 4, 4))
    held = right.transpose(order)
    axes = order_of_axes(held, right)
    assert axes is not None
    np.testing.assert_array_equal(axes.as_keras(held), right)
    np.testing.assert_array_equal(axes.as_artifact(right), held)


def test_other_shapes_are_no_order_of_axes() -> None:
    assert order_of_axes(np.zeros((2, 3, 5)), np.zeros((2, 5, 4))) is None
    assert order_of_axes(np.zeros((2, 15)), np.zeros((2, 5, 3))) is None


def test_a_turned_picture_is_not_taken_for_an_order_of_axes() -> None:
    right = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    axes = order_of_axes(right.transpose(0, 2, 1, 3), right)
    assert axes is not None
    assert errors_of(axes.as_keras(right.transpose(0, 2, 1, 3)), right).largest > 0.1
