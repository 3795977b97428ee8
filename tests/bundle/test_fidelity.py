import math

import numpy as np
import pytest

from kedge_bundle.fidelity import FidelityBudget, FidelityReport, judge
from kedge_bundle.signature import Tensors

BUDGET = FidelityBudget(min_snr_db=15, min_agreement=0.95)
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(200, 10)).astype(np.float32)


def report(expected: Tensors, actual: Tensors, budget: FidelityBudget = BUDGET) -> FidelityReport:
    return judge("tflite-int8", expected, actual, budget)


def test_noise_of_a_hundredth_is_forty_decibels() -> None:
    reference = np.tile(np.array([[1.0], [-1.0]]), (50, 1))
    found = report({"y": reference}, {"y": reference + 0.01})
    assert found.is_faithful
    assert found.verdict == "within-fidelity"
    assert found.snr_db == pytest.approx(40.0)
    assert found.rows == 100


def test_the_mean_over_the_rows_is_no_signal() -> None:
    kelvin = 300 + RNG.normal(size=(100, 1))
    found = report({"kelvin": kelvin}, {"kelvin": np.round(kelvin / 2) * 2})
    assert not found.is_faithful
    assert found.snr_db is not None
    assert found.snr_db < 6
    assert found.outputs[0].total_snr_db == pytest.approx(found.snr_db + 20 * math.log10(300), abs=3)
    assert "its rows differ little" in found.first_failure()


def test_rows_that_are_all_the_same_are_their_own_signal() -> None:
    constant = np.full((50, 1), 4.0)
    assert report({"y": constant}, {"y": constant + 0.04}).snr_db == pytest.approx(40.0)
    assert report({"y": constant[:1]}, {"y": constant[:1] + 0.04}).snr_db == pytest.approx(40.0)


def test_equal_answers_have_no_noise_at_all() -> None:
    found = report({"y": SCORES}, {"y": SCORES.copy()})
    assert (found.snr_db, found.agreement, found.is_faithful) == (math.inf, 1.0, True)


def test_an_infinite_ratio_survives_json() -> None:
    found = report({"y": SCORES}, {"y": SCORES.copy()})
    assert FidelityReport.model_validate_json(found.model_dump_json()) == found


def test_noise_where_the_reference_is_zero_fails() -> None:
    zeros = np.zeros((5, 1), np.float32)
    assert report({"y": zeros}, {"y": zeros}).is_faithful
    found = report({"y": zeros}, {"y": zeros + np.float32(1e-6)})
    assert found.snr_db == -math.inf
    assert not found.is_faithful


def test_tiny_and_huge_values_are_squared_without_loss() -> None:
    for scale in (1e-200, 1e200):
        reference = np.array([[1.0], [-1.0]]) * scale
        assert report({"y": reference}, {"y": reference * 1.01}).snr_db == pytest.approx(40.0)


def test_agreement_is_the_class_that_a_client_takes() -> None:
    reference = np.array([[0.0, 1.0, 0.2], [1.0, 0.0, 0.0], [0.5, 0.5, 0.1], [0.3, 0.1, 0.2]])
    answer = np.array([[0.9, 0.9, 0.2], [0.7, 0.0, 0.0], [0.2, 0.5, 0.1], [0.1, 0.2, 0.1]])
    # Row 0: a tie, of which argmax takes the first, wrongly. Row 2: either is right. Row 3: wrong.
    assert report({"y": reference}, {"y": answer}).agreement == 0.5


def test_agreement_below_the_threshold_fails_and_says_so() -> None:
    answer = SCORES.copy()
    answer[:20, 0] += 10
    found = report({"y": SCORES}, {"y": answer}, FidelityBudget(min_snr_db=-100, min_agreement=0.95))
    assert not found.is_faithful
    assert "top-1 agreement in 200 rows 9" in found.first_failure()
    assert "wanted at least 95.00%" in found.first_failure()


@pytest.mark.parametrize("shape", [(8, 1), (8, 4, 3), (8,)])
def test_what_are_no_scores_has_no_agreement(shape: tuple[int, ...]) -> None:
    values = RNG.normal(size=shape)
    assert report({"y": values}, {"y": values}).agreement is None


def test_integers_agree_where_they_are_equal() -> None:
    classes = np.arange(100)
    close = classes.copy()
    close[:3] += 1
    assert report({"class": classes}, {"class": close}).agreement == 0.97
    close[:6] += 1
    assert "equal values among 100 94.00%" in report({"class": classes}, {"class": close}).first_failure()


def test_answers_of_which_nothing_is_asked_are_not_judged_to_be_good() -> None:
    expected, wrong = {"class": np.array([1, 2, 3])}, {"class": np.array([7, 7, 7])}
    asks_nothing = FidelityBudget(min_snr_db=40, min_agreement=0)
    report = judge("onnx-float16", expected, wrong, asks_nothing, "drawn")
    assert not report.is_faithful
    assert "nothing is asked of its answers" in report.first_failure()
    assert "--min-agreement" in report.first_failure()
    # Beside scores that are held to a threshold, the class is shown.
    scores = np.eye(3)
    assert judge("onnx-float16", expected | {"scores": scores}, wrong | {"scores": scores}, asks_nothing).is_faithful


def test_strings_agree_where_they_are_equal() -> None:
    words = np.array([b"a", b"b"], object)
    assert report({"word": words}, {"word": words.copy()}).is_faithful
    assert not report({"word": words}, {"word": words[::-1]}).is_faithful


def test_masks_come_before_arithmetic() -> None:
    reference = SCORES.copy()
    reference[0, 0], reference[1, 1] = np.nan, -np.inf
    same = report({"y": reference}, {"y": reference.copy()})
    assert same.is_faithful
    assert same.outputs[0].nonfinite == 2
    moved = reference.copy()
    moved[0, 0], moved[0, 1] = 0.0, np.nan
    assert "NaN or infinity stand in other places" in report({"y": reference}, {"y": moved}).first_failure()
    flipped = reference.copy()
    flipped[1, 1] = np.inf
    assert not report({"y": reference}, {"y": flipped}).is_faithful


@pytest.mark.parametrize(
    ("expected", "actual", "reason"),
    [
        ({}, {}, "nothing to compare"),
        ({"y": SCORES}, {}, "expected the outputs"),
        ({"y": SCORES}, {"z": SCORES}, "expected the outputs"),
        ({"y": SCORES}, {"y": SCORES.astype(np.float64)}, "expected dtype float32, got float64"),
        ({"y": SCORES}, {"y": SCORES[:7]}, "expected shape"),
        ({"y": SCORES[:0]}, {"y": SCORES[:0]}, "holds no value"),
        ({"y": SCORES * np.nan}, {"y": SCORES * np.nan}, "holds no finite value"),
    ],
)
def test_nothing_passes_on_nothing(expected: Tensors, actual: Tensors, reason: str) -> None:
    found = report(expected, actual, FidelityBudget(min_snr_db=-1000, min_agreement=0))
    assert not found.is_faithful
    assert reason in found.first_failure()


def test_every_output_is_judged() -> None:
    found = report({"a": SCORES, "b": SCORES}, {"a": SCORES, "b": -SCORES})
    assert [output.verdict for output in found.outputs] == ["within-fidelity", "failed"]
    assert found.first_failure().startswith("output 'b': signal-to-noise -6.0 dB, wanted at least 15 dB")
