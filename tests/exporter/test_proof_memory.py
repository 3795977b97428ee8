"""What was run before anybody knew the right answers is judged later, and only if it is that very thing."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.errors import RunFailed
from kedge_bundle.manifest import RuntimeOptions
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle
from kedge_exporter import proof_worker
from kedge_exporter.proof_job import Findings, Probe, ProofJob
from kedge_exporter.proof_memory import Memory
from kedge_exporter.proof_processes import ask, start, tell
from tests.services.bundles import publish, two_output

MODEL = two_output()
INPUTS = MODEL.golden_inputs
CASE = Case("typical-4", INPUTS, MODEL.answer(INPUTS))
WRONG = {name: array[:, :2] for name, array in INPUTS.items()}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(MODEL, tmp_path / "models", "tiny")


@pytest.fixture
def runtime(bundle: Bundle) -> Iterator[Runtime]:
    with open_runtime(bundle, bundle.manifest.artifacts[0]) as opened:
        yield opened


def test_the_same_files_options_and_inputs_are_remembered(runtime: Runtime) -> None:
    memory = Memory()
    memory.run(runtime, [CASE])
    found = memory.of(runtime.artifact, runtime.options, [replace(CASE, name="another name")])
    assert found is not None
    assert (found.artifact, found.device) == (runtime.artifact, "cpu")
    for name, array in runtime.run(INPUTS).items():
        assert np.array_equal(found.run({key: value.copy() for key, value in INPUTS.items()})[name], array)


def test_other_files_options_or_inputs_are_not(runtime: Runtime) -> None:
    memory = Memory()
    memory.run(runtime, [CASE])
    artifact, options = runtime.artifact, runtime.options
    file = artifact.files[0].model_copy(update={"sha256": "0" * 64})
    assert memory.of(artifact.model_copy(update={"files": (file,)}), options, [CASE]) is None
    assert memory.of(artifact, RuntimeOptions(threads=7), [CASE]) is None
    moved = {name: array + np.float32(1) for name, array in INPUTS.items()}
    assert memory.of(artifact, options, [CASE, Case("typical-4", moved)]) is None


def test_a_run_that_failed_fails_again(runtime: Runtime) -> None:
    memory = Memory()
    memory.run(runtime, [Case("typical-2", WRONG)])
    found = memory.of(runtime.artifact, runtime.options, [Case("typical-2", WRONG)])
    assert found is not None
    with pytest.raises(RunFailed):
        found.run(WRONG)


def test_strings_are_told_apart(runtime: Runtime) -> None:
    memory = Memory()
    words = [Case("typical-1", {"x": np.array([text], object)}) for text in (b"ab", b"c")]
    memory.run(runtime, words[:1])
    assert memory.of(runtime.artifact, runtime.options, words[:1]) is not None
    assert memory.of(runtime.artifact, runtime.options, words) is None


def test_a_copy_that_was_run_is_judged_without_being_run_again(bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle.directory, copy)
    cases = {name: tmp_path / f"{name}.npz" for name in ("without answers", "with answers")}
    write_cases(cases["without answers"], [replace(CASE, outputs={})])
    write_cases(cases["with answers"], [CASE])
    memory = Memory()
    proof_worker._run(job(bundle, copy, cases["without answers"]), memory)
    shutil.rmtree(copy)
    asked = job(bundle, copy, cases["with answers"])
    assert proof_worker._findings(asked, memory).probes["copy"].verdict == "bit-exact"
    assert proof_worker._findings(asked, Memory()).probes["copy"].verdict == "failed"


def test_a_process_answers_only_what_is_to_be_judged(bundle: Bundle, tmp_path: Path) -> None:
    path, findings = tmp_path / "cases.npz", tmp_path / "findings.json"
    write_cases(path, [CASE])
    files = [tmp_path / "rehearsal.json", tmp_path / "job.json"]
    for file, wanted in zip(files, (None, findings), strict=True):
        asked = ProofJob(directory=bundle.directory, manifest=bundle.manifest, cases=path, findings=wanted)
        file.write_text(asked.model_dump_json(), "utf-8")
    with start("onnx") as process:
        assert tell(process, files[0])
        assert ask(process, files[1])
    found = Findings.model_validate_json(findings.read_bytes())
    assert [report.verdict for report in found.reports] == ["bit-exact", "bit-exact"]


def job(bundle: Bundle, copy: Path, cases: Path) -> ProofJob:
    probe = Probe(name="copy", directory=copy, manifest=bundle.manifest, cases=cases)
    return ProofJob(directory=bundle.directory, manifest=bundle.manifest, cases=cases, probes=(probe,))
