"""A process of the proof: `python -m kedge_exporter.proof_worker FORMAT`. It has seen neither Keras nor the converter.

It imports the format's runtime, says `ready`, and then proves one job per line of standard input (the path of a job
file), answering each with `done` when its report is written. A job that asks for no report is run and not answered:
what came of it is remembered for the job that judges it. It ends with its input.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from kedge_bundle.cases import Case, read_cases
from kedge_bundle.errors import RunnerError
from kedge_bundle.judge import Judge
from kedge_bundle.manifest import Artifact, FormatName, Manifest, RuntimeOptions
from kedge_bundle.memory import importing
from kedge_bundle.parity import ParityReport
from kedge_bundle.replay import replay
from kedge_bundle.runtimes import is_installed, open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle, describe_file
from kedge_exporter.proof_job import PLAIN, Findings, ProofJob, failed_report, plain_cases
from kedge_exporter.proof_memory import Memory

_OPTIMIZING: tuple[FormatName, ...] = ("onnx", "tflite")
"""Their runtimes can do without: onnxruntime's graph optimizations, LiteRT's XNNPACK."""


def main(format_name: str, jobs: TextIO, answers: TextIO) -> None:
    """Prove one job after another."""
    with importing():
        is_installed(format_name)  # type: ignore[arg-type]  # (a format's name; where it is missing, the proof says so)
    answers.write("ready\n")
    memory = Memory()
    for line in jobs:
        job = ProofJob.model_validate_json(Path(line.rstrip("\n")).read_bytes())
        if job.findings is None:
            memory = Memory()
            _run(job, memory)
            continue
        job.findings.write_text(_findings(job, memory).model_dump_json(), "utf-8")
        memory = Memory()
        answers.write("done\n")


def change_of(directory: Path, artifact: Artifact) -> str:
    """Which file is not the one that the converter wrote; empty where all are.

    What is proven or judged must be what will be published, and the manifest's hashes are taken from the converter.
    """
    for file in artifact.files:
        if describe_file(directory, directory / file.path) != file:
            return f"'{file.path}' changed after it was converted"
    return ""


@dataclass(frozen=True)
class _Session:
    """An artifact, or a copy of it, and how it is run."""

    directory: Path
    manifest: Manifest
    options: RuntimeOptions

    @property
    def artifact(self) -> Artifact:
        return self.manifest.artifacts[0]

    def opened(self) -> Runtime:
        return open_runtime(Bundle(self.directory, self.manifest), self.artifact, self.options)


@dataclass(frozen=True)
class _Asked:
    """A session and what it is asked."""

    session: _Session
    cases: list[Case]
    judge: Judge
    memory: Memory

    def report(self) -> ParityReport:
        """What it answered, judged; what was remembered is not asked again."""
        remembered = self.memory.of(self.session.artifact, self.session.options, self.cases)
        try:
            with remembered or self.session.opened() as runtime:
                return replay(runtime, self.cases, self.judge)
        except RunnerError as error:
            return failed_report(self.session.artifact, str(error))


def _run(job: ProofJob, memory: Memory) -> None:
    """Run every case of a job and of its probes; what fails is tried again when it is judged."""
    if change_of(job.directory, job.manifest.artifacts[0]):
        return
    for session, cases in _sessions(job):
        with suppress(RunnerError), session.opened() as runtime:
            memory.run(runtime, cases)


def _findings(job: ProofJob, memory: Memory) -> Findings:
    artifact = job.manifest.artifacts[0]
    if change := change_of(job.directory, artifact):
        return Findings(reports=(failed_report(artifact, change),))
    sessions = [_Asked(session, cases, session.manifest.judge(cases), memory) for session, cases in _sessions(job)]
    is_optimizing = artifact.format in _OPTIMIZING
    if is_optimizing:
        plain = _Session(job.directory, job.manifest, _without_optimizations(artifact))
        sessions.insert(1, replace(sessions[0], session=plain, cases=plain_cases(sessions[0].cases)))
    # Small runtimes run side by side; TensorFlow takes both cores by itself, and as much memory as everything else.
    with ThreadPoolExecutor(2 if is_optimizing else 1) as pool:
        served, *others = pool.map(_Asked.report, sessions)
    reports = [served]
    if is_optimizing:
        found = others.pop(0)
        if served.cases:
            reports.append(found.model_copy(update={"session": PLAIN}))
    named = {probe.name: report for probe, report in zip(job.probes, others, strict=True)}
    return Findings(reports=tuple(reports), probes=named)


def _sessions(job: ProofJob) -> Iterator[tuple[_Session, list[Case]]]:
    """The artifact, then its copies, each with its cases."""
    artifact = job.manifest.artifacts[0]
    yield _Session(job.directory, job.manifest, artifact.options), read_cases(job.cases)
    # A copy is asked once or twice: what TensorFlow does to a graph before takes longer than all that.
    options = artifact.options if artifact.format in _OPTIMIZING else _without_optimizations(artifact)
    for probe in job.probes:
        yield _Session(probe.directory, probe.manifest, options), read_cases(probe.cases)


def _without_optimizations(artifact: Artifact) -> RuntimeOptions:
    return artifact.options.model_copy(update={"graph_optimization": "disabled"})


if __name__ == "__main__":
    # Libraries print what they like to standard output; that goes to the log with their errors.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1) as own:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        main(sys.argv[1], sys.stdin, own)
