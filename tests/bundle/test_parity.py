import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from kedge_bundle.cases import Case
from kedge_bundle.judge import Judge, largest_values
from kedge_bundle.parity import Budget, CaseParity, report, worst

BUDGET = Budget(rtol=1e-4, atol=1e-6)


def answers(**arrays: list) -> dict[str, np.ndarray]:
    return {name: np.asarray(values, np.float32) for name, values in arrays.items()}


def compare(name: str, expected: dict, actual: dict, budget: Budget, others: list[dict] | None = None) -> CaseParity:
    """One case without a reference, so that a tolerance judges."""
    case = Case(name, {}, expected)
    cases = [case, *(Case(f"other-{number}", {}, other) for number, other in enumerate(others or []))]
    return Judge.of(cases, budget).compare(case, actual)


def verdict(expected: dict, actual: dict) -> str:
    return compare("c", expected, actual, BUDGET).verdict


def test_the_same_bits_are_bit_exact():
    assert verdict(answers(y=[[1, 2]]), answers(y=[[1, 2]])) == "bit-exact"


def test_a_rounding_is_within_tolerance_and_a_weight_is_not():
    assert verdict(answers(y=[[1000, 2]]), answers(y=[[1000.05, 2]])) == "within-tolerance"
    case = compare("c", answers(y=[[1000, 2]]), answers(y=[[1001, 2]]), BUDGET)
    assert case.verdict == "failed"
    assert case.outputs[0].max_abs_error == pytest.approx(1.0)
    assert "largest error 1, allowed 0.1" in case.outputs[0].reason


def test_the_error_is_measured_in_float64():
    expected, actual = answers(y=[16777216.0]), answers(y=[16777218.0])
    assert compare("c", expected, actual, BUDGET).outputs[0].max_abs_error == 2.0


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ([math.nan, 1], [0, 1]),
        ([0, 1], [math.nan, 1]),
        ([math.inf, 1], [-math.inf, 1]),
        ([math.nan, 1], [math.inf, 1]),
        ([math.inf, 1], [3e38, 1]),
    ],
)
def test_nan_and_infinity_must_stand_in_the_same_places(expected: list, actual: list):
    assert verdict(answers(y=expected), answers(y=actual)) == "failed"


def test_nan_in_the_same_place_is_no_difference():
    case = compare("c", answers(y=[math.nan, math.inf, 2]), answers(y=[math.nan, math.inf, 2]), BUDGET)
    assert case.verdict == "bit-exact"
    assert (case.outputs[0].nonfinite_expected, case.outputs[0].nonfinite_actual) == (2, 2)


@pytest.mark.parametrize(
    ("expected", "actual", "words"),
    [
        (answers(), answers(), "nothing to compare"),
        (answers(a=[1]), answers(), "expected the outputs"),
        (answers(a=[1]), answers(a=[1], b=[1]), "expected the outputs"),
        (answers(a=[1], b=[1]), answers(a=[1], c=[1]), "expected the outputs"),
    ],
)
def test_outputs_are_matched_by_name_and_none_may_be_missing(expected: dict, actual: dict, words: str):
    case = compare("c", expected, actual, BUDGET)
    assert case.verdict == "failed"
    assert words in case.reason


def test_shape_and_dtype_are_part_of_the_answer():
    assert verdict(answers(y=[[1, 2]]), answers(y=[1, 2])) == "failed"
    assert verdict(answers(y=[1]), {"y": np.array([1.0])}) == "failed"


def test_an_output_without_values_proves_nothing():
    assert verdict({"y": np.zeros((0, 3), np.float32)}, {"y": np.zeros((0, 3), np.float32)}) == "failed"


def test_integers_and_strings_are_compared_exactly():
    assert verdict({"y": np.array([1, 2])}, {"y": np.array([1, 2])}) == "bit-exact"
    assert verdict({"y": np.array([1, 2])}, {"y": np.array([1, 3])}) == "failed"
    assert verdict({"y": np.array([b"a"], object)}, {"y": np.array([b"b"], object)}) == "failed"


def test_a_report_of_no_case_fails():
    made = report("onnx", "cpu", [])
    assert not made.is_proven
    assert "no case" in made.first_failure()


def test_a_report_whose_output_was_never_finite_fails():
    all_nan = compare("c", answers(y=[math.nan]), answers(y=[math.nan]), BUDGET)
    made = report("onnx", "cpu", [all_nan])
    assert not made.is_proven
    assert "no finite value" in made.first_failure()


def test_one_failed_case_fails_the_report_and_is_named():
    good = compare("good", answers(y=[1]), answers(y=[1]), BUDGET)
    bad = compare("bad", answers(y=[1]), answers(y=[2]), BUDGET)
    made = report("tflite", "cpu", [good, bad])
    assert made.verdict == "failed"
    assert made.first_failure().startswith("case 'bad', output 'y'")
    assert made.max_abs_error == 1.0


def test_the_worst_verdict_wins_and_none_is_a_failure():
    assert worst([]) == "failed"
    assert worst(["bit-exact", "within-tolerance"]) == "within-tolerance"


FLOAT32 = Budget.for_precision("float32")


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 1e-9, 1e-20])
def test_zeros_are_no_answer_at_any_scale(scale: float):
    expected = answers(y=[scale, -scale])
    assert compare("c", expected, answers(y=[0, 0]), FLOAT32).verdict == "failed"
    assert compare("c", expected, answers(y=[scale * 1.01, -scale]), FLOAT32).verdict == "failed"
    assert compare("c", expected, answers(y=[scale * (1 + 1e-6), -scale]), FLOAT32).verdict == "within-tolerance"


def test_a_case_in_which_values_cancel_is_measured_by_what_the_output_reaches_elsewhere():
    usual, cancelled = answers(y=[1.0]), answers(y=[0.0])
    assert largest_values([usual, cancelled]) == {"y": 1.0}
    assert compare("zeros", cancelled, answers(y=[5e-7]), FLOAT32, [usual]).verdict == "within-tolerance"
    assert compare("zeros", cancelled, answers(y=[5e-6]), FLOAT32, [usual]).verdict == "failed"


def test_an_error_beyond_float64_fails_and_is_still_json():
    expected = {"y": np.array([1.7e308])}
    case = compare("c", expected, {"y": -expected["y"]}, Budget.for_precision("float64"))
    assert case.verdict == "failed"
    made = json.loads(report("onnx", "cpu", [case]).model_dump_json())
    assert made["cases"][0]["outputs"][0]["max_abs_error"] == "Infinity"


@pytest.mark.parametrize("changes", [{"rtol": math.nan}, {"atol": math.inf}, {"atol": -1.0}])
def test_a_budget_is_finite_and_not_negative(changes: dict):
    with pytest.raises(ValidationError):
        Budget(**({"rtol": 1e-5, "atol": 1e-6} | changes))


def test_half_precision_gets_a_half_precision_budget():
    assert Budget.for_precision("bfloat16").rtol == 8 * Budget.for_precision("float16").rtol
    assert Budget.for_precision("float16").rtol > Budget.for_precision("float32").rtol
