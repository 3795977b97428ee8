"""Failures travel from the export's process as data, and are exceptions again in the caller's."""

import pytest

from kedge_bundle.fidelity import FidelityBudget, FidelityReport
from kedge_bundle.parity import ParityReport
from kedge_exporter.errors import ExportError, FidelityNotMet, FormatImpossible, ParityNotProven
from kedge_exporter.failures import error_of, failed_of
from kedge_exporter.request import Failed

FORMAT_IMPOSSIBLE = FormatImpossible("tflite", "no such op", may_hold_one_row=True)
PLAIN = set(ExportError.__subclasses__()) - {FormatImpossible}


@pytest.mark.parametrize("kind", sorted(PLAIN, key=lambda kind: kind.kind), ids=lambda kind: kind.kind)
def test_every_kind_comes_back_as_it_was(kind: type[ExportError]) -> None:
    error = kind("what went wrong")
    failed = Failed.model_validate_json(failed_of(error).model_dump_json())
    again = error_of(failed)
    assert (type(again), str(again), again.exit_code) == (kind, "what went wrong", kind.exit_code)


def test_a_format_that_is_impossible_comes_back_with_its_whole_sentence() -> None:
    again = error_of(failed_of(FORMAT_IMPOSSIBLE))
    assert isinstance(again, FormatImpossible)
    assert str(again) == "tflite cannot be produced: no such op; --formats chooses the others" == again.reason


def test_reports_travel_with_the_failure() -> None:
    parity = ParityReport(format="onnx", cases=(), verdict="failed")
    fidelity = FidelityReport(
        artifact="onnx-int8",
        source="drawn",
        budget=FidelityBudget(min_snr_db=15, min_agreement=0.95),
        outputs=(),
        verdict="failed",
    )
    first, second = (
        error_of(failed_of(ParityNotProven("no", (parity,)))),
        error_of(failed_of(FidelityNotMet("no", (fidelity,)))),
    )
    assert isinstance(first, ParityNotProven)
    assert first.reports == (parity,)
    assert isinstance(second, FidelityNotMet)
    assert second.reports == (fidelity,)
