"""What the command prints."""

import json
import math
from pathlib import Path

import pytest

from kedge_bundle.parity import CaseParity, OutputParity, ParityReport
from kedge_bundle.signature import Signature, TensorSpec
from kedge_exporter.progress import PhaseEvent
from kedge_exporter.request import Exported, Failed, FormatResult
from kedge_exporter.terminal import Terminal


def exported(max_abs_error: float | None = 1.25e-7) -> Exported:
    spec = TensorSpec(name="x", dtype="float32", shape=(None, 3))
    return Exported(
        name="m",
        version=3,
        bundle=Path("models/m/3"),
        formats=(
            FormatResult(
                format="tflite",
                path="model.tflite",
                bytes=1234567,
                batch=1,
                verdict="within-tolerance",
                max_abs_error=max_abs_error,
                cases=8,
            ),
        ),
        signature=Signature(inputs=(spec,), outputs=(spec,)),
        notes=("something to know",),
    )


def failed() -> Failed:
    output = OutputParity(output="y", values=1, max_abs_error=math.inf, rms_error=math.nan, verdict="failed")
    case = CaseParity(case="large-2", rows=2, outputs=(output,), verdict="failed")
    report = ParityReport(format="onnx", cases=(case,), verdict="failed")
    return Failed(error="onnx: differs", kind="parity-not-proven", exit_code=1, reports=(report,))


def test_the_table_says_format_size_batch_verdict_and_error(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(is_json=False).show_outcome(exported(), None)
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "format      bytes  batch  verdict           largest error",
        "tflite  1,234,567  1      within-tolerance  1.2e-07",
        "note: something to know",
        "proven and published: models/m/3",
    ]
    assert printed.err == ""


def test_phases_go_to_standard_error_when_they_end(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(is_json=False)
    terminal.show_phase(PhaseEvent(name="load"))
    terminal.show_phase(PhaseEvent(name="load", detail="3 weights", seconds=1.26))
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "load                    1.3 s  3 weights\n")


def test_json_prints_no_phases(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(is_json=True).show_phase(PhaseEvent(name="load", seconds=1))
    assert capsys.readouterr() == ("", "")


def test_a_failure_names_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(is_json=False).show_outcome(failed(), Path("export.log"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "export-model: onnx: differs\nexport-model: the log is export.log\n"


def test_json_is_valid_even_where_errors_are_infinite(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(is_json=True).show_outcome(failed(), None)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert (document["exit_code"], document["error"], document["log"]) == (1, "onnx: differs", None)
    assert document["reports"][0]["cases"][0]["outputs"][0]["max_abs_error"] == "Infinity"


def test_json_of_a_success_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(is_json=True).show_outcome(exported(None), Path("export.log"))
    document = json.loads(capsys.readouterr().out)
    assert (document["exit_code"], document["bundle"], document["log"]) == (0, "models/m/3", "export.log")
    assert document["formats"][0]["max_abs_error"] is None
    assert "event" not in document
