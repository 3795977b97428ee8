"""Answers against a float64 reference: errors by channel, held to Keras' own."""

from collections.abc import Callable

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_bundle.judge import Judge
from kedge_bundle.parity import Budget
from kedge_bundle.rounding import FACTOR, FLOOR_ULPS, MOST, Reference, Yardstick

FALLBACK = Budget.for_precision("float32")
EPSILON = float(np.finfo(np.float32).eps)
KERAS_ERROR = 1e-5


def case(name: str, exact: np.ndarray, keras_error: float = KERAS_ERROR, seed: int = 0) -> Case:
    """Keras' answers err by up to `keras_error` of 1."""
    noise = np.random.default_rng(seed).uniform(-1, 1, exact.shape)
    noise.flat[0] = 1.0
    return Case(name, {}, {"y": (exact + keras_error * noise).astype(np.float32)}, {"y": exact})


def drawn(rows: int, scale: float | np.ndarray = 1.0, seed: int = 1) -> np.ndarray:
    """Exact answers, shape (rows, 4), whose channels reach their scale."""
    values = np.random.default_rng(seed).uniform(-1, 1, (rows, 4))
    values[0] = 1.0
    return values * scale


def off_by(judged: Case, error: float) -> dict[str, np.ndarray]:
    actual = judged.reference["y"].copy()
    actual.flat[0] += error
    return {"y": actual.astype(np.float32)}


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(0.0, "rounding-equivalent"), (7.5e-5, "rounding-equivalent"), (8.5e-5, "failed"), (1e-3, "failed")],
)
def test_eight_times_keras_own_error_is_rounding_and_no_more(error: float, verdict: str) -> None:
    usual = case("typical-32", drawn(32))
    found = Judge.of([usual], FALLBACK).compare(usual, off_by(usual, error))
    assert found.verdict == verdict
    assert found.outputs[0].keras_error == pytest.approx(KERAS_ERROR, rel=0.01)
    assert found.outputs[0].allowed == pytest.approx(FACTOR * KERAS_ERROR, rel=0.01)
    if verdict == "failed":
        assert "is rounding here (Keras' own error is 1e-05)" in found.outputs[0].reason


def test_keras_own_bits_are_bit_exact() -> None:
    usual = case("typical-32", drawn(32))
    assert Judge.of([usual], FALLBACK).compare(usual, usual.outputs).verdict == "bit-exact"


def test_a_large_channel_does_not_hide_the_error_of_a_small_one() -> None:
    exact = drawn(32, np.array([1e6, 1.0, 1.0, 1.0]))
    usual = Case("typical-32", {}, {"y": exact.astype(np.float32)}, {"y": exact})
    actual = exact.astype(np.float32)
    actual[3, 2] += 1e-3  # a thousandth of its channel, a billionth of the output
    found = Judge.of([usual], FALLBACK).compare(usual, {"y": actual})
    assert found.verdict == "failed"
    assert found.outputs[0].error == pytest.approx(1e-3, rel=0.1)


def test_a_few_units_in_the_last_place_are_allowed_where_keras_is_exact() -> None:
    exact = drawn(32).astype(np.float32).astype(np.float64)
    usual = case("typical-32", exact, keras_error=0.0)
    judge = Judge.of([usual], FALLBACK)
    assert judge.compare(usual, off_by(usual, 0.9 * FLOOR_ULPS * EPSILON)).verdict == "rounding-equivalent"
    assert judge.compare(usual, off_by(usual, 1.5 * FLOOR_ULPS * EPSILON)).verdict == "failed"


def test_no_more_than_a_tenth_is_ever_rounding() -> None:
    usual = case("typical-32", drawn(32), keras_error=0.05)
    judge = Judge.of([usual], FALLBACK)
    assert judge.yardstick.allowed("y", "typical", np.dtype(np.float32)) == MOST
    assert judge.compare(usual, off_by(usual, 0.2)).verdict == "failed"


def test_a_row_on_which_keras_was_lucky_is_held_to_its_usual_error() -> None:
    usual, lucky = case("typical-32", drawn(32)), case("zeros-2", drawn(2), keras_error=0.0)
    found = Judge.of([usual, lucky], FALLBACK).compare(lucky, off_by(lucky, 5e-5))
    assert found.verdict == "rounding-equivalent"
    assert found.outputs[0].keras_error == pytest.approx(0.0, abs=EPSILON)


def test_an_extreme_on_which_keras_errs_more_is_held_to_that_and_excuses_nothing_else() -> None:
    usual, extreme = case("typical-32", drawn(32)), case("large-2", drawn(2), keras_error=1e-3)
    judge = Judge.of([usual, extreme], FALLBACK)
    assert judge.compare(extreme, off_by(extreme, 5e-3)).verdict == "rounding-equivalent"
    assert judge.compare(usual, off_by(usual, 5e-3)).verdict == "failed"


def test_few_rows_are_measured_by_the_size_that_a_channel_has_elsewhere() -> None:
    usual, cancelled = case("typical-32", drawn(32)), case("zeros-2", drawn(2, 1e-6), keras_error=0.0)
    found = Judge.of([usual, cancelled], FALLBACK).compare(cancelled, off_by(cancelled, 5e-5))
    assert found.outputs[0].error == pytest.approx(5e-5, rel=0.01)


def test_channels_of_probabilities_share_one_size() -> None:
    exact = drawn(32, np.array([1.0, 1e-9, 1.0, 1.0]))
    usual = Case("typical-32", {}, {"y": (exact * (1 + 1e-6)).astype(np.float32)}, {"y": exact})
    actual = usual.outputs["y"].copy()
    actual[:, 1] = 1.5e-8  # where a library's sigmoid ends
    known = Reference(precision="float64", probabilities=("y",))
    assert Judge.of([usual], FALLBACK).compare(usual, {"y": actual}).verdict == "failed"
    assert Judge.of([usual], FALLBACK, known=known).compare(usual, {"y": actual}).verdict == "rounding-equivalent"


def test_edges_are_measured_by_the_usual_size_whatever_their_rows() -> None:
    usual, edge = case("typical-32", drawn(32)), case("large-8", drawn(8, 1e-6), keras_error=0.0)
    found = Judge.of([usual, edge], FALLBACK).compare(edge, off_by(edge, 5e-5))
    assert found.outputs[0].error == pytest.approx(5e-5, rel=0.01)


def test_a_channel_that_is_always_zero_must_stay_so() -> None:
    exact = drawn(32, np.array([1.0, 0.0, 1.0, 1.0]))
    usual = Case("typical-32", {}, {"y": exact.astype(np.float32)}, {"y": exact})
    actual = exact.astype(np.float32)
    actual[5, 1] = 1e-3
    assert Judge.of([usual], FALLBACK).compare(usual, {"y": actual}).verdict == "failed"


def test_an_explicit_tolerance_has_the_last_word_and_says_so() -> None:
    usual = case("typical-32", drawn(32))
    judge = Judge.of([usual], FALLBACK, Budget(atol=2e-3, rtol=0.0))
    found = judge.compare(usual, off_by(usual, 1e-3))
    assert found.verdict == "within-tolerance"
    assert found.outputs[0].tolerance == 2e-3
    assert judge.compare(usual, off_by(usual, 3e-3)).verdict == "failed"
    assert judge.compare(usual, off_by(usual, 1e-5)).verdict == "rounding-equivalent"


def test_what_was_seen_over_more_cases_counts() -> None:
    few = case("typical-7", drawn(7), keras_error=1e-6)
    known = Reference(precision="float64", own={"y": {"typical": 1e-4}})
    assert Judge.of([few], FALLBACK, known=known).compare(few, off_by(few, 5e-4)).verdict == "rounding-equivalent"
    assert Judge.of([few], FALLBACK).compare(few, off_by(few, 5e-4)).verdict == "failed"


@pytest.mark.parametrize(
    "spoil", [lambda y: y * np.nan, lambda y: np.where(y > 0.5, np.inf, y), lambda y: np.where(y > 0.5, np.nan, y)]
)
def test_nan_and_infinity_fail_whatever_is_allowed(spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    usual = case("typical-32", drawn(32))
    judge = Judge.of([usual], FALLBACK, Budget(atol=1e30, rtol=1.0))
    found = judge.compare(usual, {"y": spoil(usual.outputs["y"]).astype(np.float32)})
    assert found.verdict == "failed"
    assert found.outputs[0].nonfinite_actual > 0


def test_overflow_that_keras_shares_is_counted_and_compared_elsewhere() -> None:
    exact = drawn(32)
    exact[0, 0] = 1e60
    with np.errstate(over="ignore"):
        usual = Case("typical-32", {}, {"y": exact.astype(np.float32)}, {"y": exact})
        found = Judge.of([usual], FALLBACK).compare(usual, {"y": exact.astype(np.float32)})
    assert (found.verdict, found.outputs[0].inf_expected, found.outputs[0].inf_actual) == ("bit-exact", 1, 1)


def test_an_open_last_axis_has_one_size() -> None:
    wide = Case("typical-3", {}, {"y": np.ones((3, 5), np.float32)}, {"y": np.ones((3, 5))})
    wider = Case("typical-2", {}, {"y": np.ones((2, 9), np.float32)}, {"y": np.ones((2, 9))})
    yardstick = Yardstick.of([wide, wider])
    assert yardstick.error("y", "typical", np.full((2, 9), 1.5), wider.reference["y"]) == 0.5


def test_outputs_without_an_axis_of_channels() -> None:
    numbers = np.linspace(1, 2, 16)
    usual = Case("typical-16", {}, {"y": numbers.astype(np.float32)}, {"y": numbers})
    assert Judge.of([usual], FALLBACK).compare(usual, {"y": numbers.astype(np.float32) + 1}).verdict == "failed"
