"""The process that judges and times, on ONNX artifacts made without TensorFlow: nothing keeps it from failing."""

from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.cases import Case, read_cases, write_cases
from kedge_bundle.cpu import cpu_name
from kedge_bundle.fidelity import FidelityBudget
from kedge_bundle.signature import Tensors
from kedge_exporter.measure import Measured, MeasureJob, measure
from tests.services.bundles import publish, two_output

BUDGET = FidelityBudget(min_snr_db=20, min_agreement=0.5)
RNG = np.random.default_rng(0)
ROWS: Tensors = {name: RNG.normal(size=(70, 3)).astype(np.float32) for name in "ab"}


@pytest.fixture
def job(tmp_path: Path) -> MeasureJob:
    """An artifact that computes with 2.1 where the reference has 2: noise of a twentieth, 26 dB."""
    bundle = publish(two_output(scale=2.1), tmp_path / "models", "two")
    write_cases(tmp_path / "rows.npz", [Case("judging", ROWS, two_output().answer(ROWS))])
    manifest = bundle.manifest
    artifact = manifest.artifacts[0].model_copy(update={"quantization": "int8", "verdict": "failed"})
    return MeasureJob(
        directory=bundle.directory,
        manifest=manifest.model_copy(update={"artifacts": (artifact,)}),
        rows=tmp_path / "rows.npz",
        budget=BUDGET,
        source="data",
        golden=bundle.directory / manifest.golden.path,
        own_answers=tmp_path / "own.npz",
        result=tmp_path / "result.json",
    )


def measured(job: MeasureJob, tmp_path: Path) -> Measured:
    return measure(job, tmp_path / "job.json")


def failure(job: MeasureJob, tmp_path: Path) -> str:
    found = measured(job, tmp_path)
    assert found.fidelity is not None
    assert not found.fidelity.is_faithful
    return found.fidelity.first_failure()


def test_it_is_judged_by_every_row_answers_for_itself_and_is_timed(job: MeasureJob, tmp_path: Path) -> None:
    found = measured(job, tmp_path)
    assert found.fidelity is not None
    assert found.fidelity.is_faithful
    assert found.fidelity.artifact == "onnx-int8"
    assert found.fidelity.rows == 70
    assert found.fidelity.snr_db == pytest.approx(26.0, abs=0.1)
    assert found.latency is not None
    assert (found.latency.rows, found.latency.runs, found.latency.cpu) == (1, 300, cpu_name())
    golden, own = read_cases(job.golden), read_cases(job.own_answers)
    np.testing.assert_allclose(own[0].outputs["total"], 2.1 * sum(golden[0].inputs.values()), rtol=1e-6)
    assert found.largest == pytest.approx(np.abs(own[0].outputs["total"]).max())
    assert found.drift < 1e-6


def test_a_float32_artifact_is_only_timed(job: MeasureJob, tmp_path: Path) -> None:
    found = measured(job.model_copy(update={"budget": None}), tmp_path)
    assert found.fidelity is None
    assert found.latency is not None
    assert not job.own_answers.exists()


def test_a_missed_threshold_is_no_fault_of_the_process(job: MeasureJob, tmp_path: Path) -> None:
    strict = FidelityBudget(min_snr_db=30, min_agreement=0.5)
    assert "signal-to-noise 26.0 dB, wanted at least 30 dB" in failure(
        job.model_copy(update={"budget": strict}), tmp_path
    )


def test_a_file_that_changed_after_it_was_converted_fails(job: MeasureJob, tmp_path: Path) -> None:
    with (job.directory / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert failure(job, tmp_path) == "'model.onnx' changed after it was converted"


def test_a_process_that_dies_fails(job: MeasureJob, tmp_path: Path) -> None:
    job.rows.unlink()
    assert failure(job, tmp_path) == "the process that judges it ended with code 1"


def test_a_float32_artifact_that_cannot_be_timed_fails_as_well(job: MeasureJob, tmp_path: Path) -> None:
    write_cases(job.rows, [Case("judging", {"a": ROWS["a"]}, {})])
    assert "expected the inputs ['a', 'b'], got ['a']" in failure(job.model_copy(update={"budget": None}), tmp_path)


def test_a_result_of_before_is_none(job: MeasureJob, tmp_path: Path) -> None:
    assert measured(job, tmp_path).latency is not None
    job.rows.unlink()
    assert "ended with code 1" in failure(job, tmp_path)


def test_golden_cases_with_nan_are_not_answered(job: MeasureJob, tmp_path: Path) -> None:
    golden = read_cases(job.golden)
    bad = {name: np.full_like(array, np.nan) for name, array in golden[0].inputs.items()}
    write_cases(tmp_path / "golden.npz", [Case("bad", bad, golden[0].outputs), *golden])
    measured(job.model_copy(update={"golden": tmp_path / "golden.npz"}), tmp_path)
    assert [case.name for case in read_cases(job.own_answers)] == ["case0"]


def test_golden_cases_that_all_hold_nan_leave_nothing_to_replay(job: MeasureJob, tmp_path: Path) -> None:
    (golden,) = read_cases(job.golden)[:1]
    bad = {name: np.full_like(array, np.nan) for name, array in golden.inputs.items()}
    write_cases(tmp_path / "golden.npz", [Case("bad", bad, golden.outputs)])
    said = failure(job.model_copy(update={"golden": tmp_path / "golden.npz"}), tmp_path)
    assert said.startswith("every golden case holds NaN or infinities")
