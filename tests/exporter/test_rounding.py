"""Keras' own rounding excuses as much as it is, on extremes only; the real thing runs in `test_kinds_of_models`."""

from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_bundle.parity import Budget, CaseParity, OutputParity, ParityReport, compare, report
from kedge_exporter.rounding import MOST_TIMES, _settled_case, settle

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel

BUDGET = Budget(rtol=1e-5, atol=0)
OWN = {("large-2", "y"): 1e-4}


def compared(case: str, error: float) -> CaseParity:
    expected = {"y": np.ones((2, 3), np.float32)}
    return compare(case, expected, {"y": expected["y"] + np.float32(error)}, BUDGET)


def reports(*cases: CaseParity) -> tuple[ParityReport, ...]:
    return (report("onnx", "cpu", list(cases)),)


def test_an_error_like_keras_own_is_within_tolerance_and_says_why() -> None:
    (output,) = _settled_case(compared("large-2", 3e-4), OWN).outputs
    assert output.verdict == "within-tolerance"
    assert output.allowed == MOST_TIMES * 1e-4
    assert output.reason == "Keras itself errs by 0.0001"


@pytest.mark.parametrize("error", [5e-4, np.inf, np.nan])
def test_a_larger_error_stays_failed(error: float) -> None:
    assert _settled_case(compared("large-2", error), OWN).verdict == "failed"


@pytest.mark.parametrize("own", [np.inf, np.nan, 0.2])
def test_an_answer_of_keras_that_says_nothing_excuses_nothing(own: float) -> None:
    assert _settled_case(compared("large-2", 3e-4), {("large-2", "y"): own}).verdict == "failed"


def test_a_case_that_was_not_answered_stays_failed() -> None:
    silent = CaseParity(case="large-2", rows=2, outputs=(), verdict="failed", reason="the runtime raised")
    assert _settled_case(silent, OWN).verdict == "failed"


@pytest.mark.parametrize("kind", ["typical-1", "data-7", "normal-2"])
def test_typical_and_real_inputs_are_never_excused(kind: str) -> None:
    """Keras is not even asked: there is none here."""
    failed = reports(compared(kind, 1.0), compared("large-2", 3e-4))
    settled = settle(cast("LoadedModel", None), [Case(kind, {}, {})], failed, BUDGET)
    assert settled.reports is failed
    assert not settled.uncertain


def test_what_is_proven_is_left_as_it_is() -> None:
    proven = reports(compared("large-2", 0.0))
    assert settle(cast("LoadedModel", None), [], proven, BUDGET).reports is proven


def test_other_outputs_of_the_case_keep_their_verdicts() -> None:
    other = OutputParity(output="z", values=1, verdict="failed", reason="expected dtype int64, got int32")
    case = compared("large-2", 3e-4)
    both = case.model_copy(update={"outputs": (*case.outputs, other)})
    assert _settled_case(both, OWN | {("large-2", "z"): 0.0}).verdict == "failed"
