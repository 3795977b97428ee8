"""The proof, on ONNX artifacts made without TensorFlow: it compares everything, and nothing keeps it from failing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_bundle.manifest import Manifest
from kedge_bundle.store import describe_file
from kedge_exporter.proof_processes import FreshProcesses, ask, start
from kedge_exporter.prove import Prover, could_not_run
from tests.services.bundles import TinyModel, publish, square_root, two_output


@dataclass(frozen=True)
class Made:
    """A bundle whose artifact is to be proven again, with cases of its own."""

    directory: Path
    manifest: Manifest
    prover: Prover


@pytest.fixture
def two(tmp_path: Path) -> Made:
    return prepared(tmp_path, two_output())


def prepared(tmp_path: Path, model: TinyModel, cases: list[Case] | None = None) -> Made:
    published = publish(model, tmp_path / "models", "tiny")
    work = tmp_path / "work"
    work.mkdir()
    prover = Prover.prepare(published.directory, work, published.golden if cases is None else cases, FreshProcesses())
    return Made(published.directory, published.manifest, prover)


def test_right_answers_are_proven_output_by_output(two: Made) -> None:
    report = two.prover.prove(two.manifest).reports[0]
    assert report.is_proven
    assert report.device == "cpu"
    assert [o.output for case in report.cases for o in case.outputs] == ["total", "difference"]


def test_a_wrong_answer_fails_and_is_named(tmp_path: Path) -> None:
    model = two_output()
    answers = model.answer(model.golden_inputs)
    answers["difference"] = answers["difference"] + np.float32(1e-3)
    made = prepared(tmp_path, model, [Case("typical-4", model.golden_inputs, answers)])
    report = made.prover.prove(made.manifest).reports[0]
    assert not report.is_proven
    assert report.first_failure().startswith("case 'typical-4', output 'difference': largest error 0.001")


def test_swapped_outputs_fail(tmp_path: Path) -> None:
    model = two_output()
    answers = model.answer(model.golden_inputs)
    swapped = {"total": answers["difference"], "difference": answers["total"]}
    made = prepared(tmp_path, model, [Case("typical-4", model.golden_inputs, swapped)])
    assert not made.prover.prove(made.manifest).reports[0].is_proven


def test_nan_where_keras_has_none_fails(tmp_path: Path) -> None:
    model = square_root()
    inputs = {"x": np.array([[-1.0, 4.0]], np.float32)}
    made = prepared(tmp_path, model, [Case("typical-1", inputs, {"y": np.array([[0.0, 2.0]], np.float32)})])
    report = made.prover.prove(made.manifest).reports[0]
    assert not report.is_proven
    assert "NaN or infinity stand in other places" in report.first_failure()


def test_no_case_is_no_proof(tmp_path: Path) -> None:
    made = prepared(tmp_path, two_output(), [])
    report = made.prover.prove(made.manifest).reports[0]
    assert not report.is_proven
    assert could_not_run(report)


def test_answers_that_are_only_nan_are_no_proof(tmp_path: Path) -> None:
    inputs = {"x": np.full((2, 2), -1, np.float32)}
    made = prepared(tmp_path, square_root(), [Case("typical-2", inputs, {"y": np.full((2, 2), np.nan, np.float32)})])
    report = made.prover.prove(made.manifest).reports[0]
    assert not report.is_proven
    assert "no finite value was compared" in report.reason


def test_an_artifact_that_changed_after_conversion_is_not_proven(two: Made) -> None:
    with (two.directory / "model.onnx").open("ab") as file:
        file.write(b"\0")
    report = two.prover.prove(two.manifest).reports[0]
    assert not report.is_proven
    assert report.first_failure() == "'model.onnx' changed after it was converted"


def test_an_artifact_that_its_runtime_refuses_is_not_proven(two: Made) -> None:
    (two.directory / "model.onnx").write_bytes(b"no model")
    artifact = two.manifest.artifacts[0]
    files = (describe_file(two.directory, two.directory / "model.onnx"),)
    changed = two.manifest.model_copy(update={"artifacts": (artifact.model_copy(update={"files": files}),)})
    report = two.prover.prove(changed).reports[0]
    assert not report.is_proven
    assert could_not_run(report)
    assert "refuses model.onnx" in report.first_failure()


def test_an_artifact_that_cannot_run_is_not_proven_and_says_so(tmp_path: Path) -> None:
    model = two_output()
    inputs = {name: array[:, :2] for name, array in model.golden_inputs.items()}
    made = prepared(tmp_path, model, [Case("typical-4", inputs, model.answer(model.golden_inputs))])
    report = made.prover.prove(made.manifest).reports[0]
    assert not report.is_proven
    assert could_not_run(report)


def test_a_process_that_dies_is_a_failure_never_a_pass(two: Made) -> None:
    two.prover.cases_file.write_bytes(b"PK\3\4 cut short")
    report = two.prover.prove(two.manifest).reports[0]
    assert not report.is_proven
    assert report.first_failure() == "the proof's process ended with code 1"


def test_a_process_that_died_before_it_was_asked_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    process = start("onnx")
    process.kill()
    process.wait()
    with process:  # closing its pipes raises nothing either
        assert not ask(process, tmp_path / "job.json")
    assert process.returncode == -9


def test_a_report_of_an_earlier_proof_is_not_taken_for_this_one(two: Made) -> None:
    assert two.prover.prove(two.manifest).reports[0].is_proven
    two.prover.cases_file.unlink()
    assert not two.prover.prove(two.manifest).reports[0].is_proven


def test_a_proof_of_fewer_cases_than_there_are_is_no_proof(tmp_path: Path) -> None:
    """The cases that the process reads are those that the export knows, all of them."""
    model = two_output()
    answers = model.answer(model.golden_inputs)
    cases = [Case(name, model.golden_inputs, answers) for name in ("typical-4", "zeros-4")]
    made = prepared(tmp_path, model, cases[:1])
    knowing_more = Prover(made.directory, made.prover.work, cases, made.prover.cases_file, FreshProcesses())
    report = knowing_more.prove(made.manifest).reports[0]
    assert not report.is_proven
    assert "2 of 4 answers not compared: [('zeros-4', 'difference'), ('zeros-4', 'total')]" in report.reason
