"""A process of the proof: `python -m kedge_exporter.proof_worker FORMAT`. It has seen neither Keras nor the converter.

It imports the format's runtime, says `ready`, and then proves one job per line of standard input (the path of a job
file), answering each with `done` when its report is written. A job that asks for no report is run and not answered:
what came of it is remembered for the job that judges it. It ends with its input.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict

from kedge_bundle.cases import read_cases
from kedge_bundle.errors import RunnerError
from kedge_bundle.manifest import Artifact, FormatName, Manifest, RuntimeOptions
from kedge_bundle.parity import ParityReport, Verdict, worst
from kedge_bundle.replay import replay
from kedge_bundle.runtimes import is_installed, open_runtime
from kedge_bundle.store import Bundle, describe_file
from kedge_exporter.proof_memory import Memory

PLAIN = "graph optimization disabled"
"""The session that is proven beside the one that serves."""

_OPTIMIZING: tuple[FormatName, ...] = ("onnx", "tflite")
"""Their runtimes can do without: onnxruntime's graph optimizations, LiteRT's XNNPACK."""


class Probe(BaseModel):
    """An altered copy of the artifact, with what it should answer.

    Attributes:
        name: what is asked of it.
        directory: where the copy is.
        manifest: the draft, with the copy as its one artifact.
        cases: with answers for the copy.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    directory: Path
    manifest: Manifest
    cases: Path


class ProofJob(BaseModel):
    """What to prove.

    Attributes:
        directory: the bundle that is being made.
        manifest: its draft, with one artifact.
        cases: the cases with Keras' answers and the reference.
        probes: altered copies to run beside it.
        findings: where to leave what was found; None: it is only run, since nobody knows yet what is right.
    """

    model_config = ConfigDict(frozen=True)

    directory: Path
    manifest: Manifest
    cases: Path
    probes: tuple[Probe, ...] = ()
    findings: Path | None = None


class Findings(BaseModel):
    """What one process found.

    Attributes:
        reports: of the session that will serve, first; then of the runtime without its optimizations, where it has any.
        probes: the report of every probe.
    """

    model_config = ConfigDict(frozen=True)

    reports: tuple[ParityReport, ...]
    probes: dict[str, ParityReport] = {}

    @property
    def verdict(self) -> Verdict:
        """The worst of all sessions."""
        return worst([report.verdict for report in self.reports])


def main(format_name: str, jobs: TextIO, answers: TextIO) -> None:
    """Prove one job after another."""
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


def failed_report(artifact: Artifact, reason: str) -> ParityReport:
    """A report of nothing but why there is no proof."""
    return ParityReport(format=artifact.format, cases=(), verdict="failed", reason=reason)


def change_of(directory: Path, artifact: Artifact) -> str:
    """Which file is not the one that the converter wrote; empty where all are.

    What is proven or judged must be what will be published, and the manifest's hashes are taken from the converter.
    """
    for file in artifact.files:
        if describe_file(directory, directory / file.path) != file:
            return f"'{file.path}' changed after it was converted"
    return ""


def _run(job: ProofJob, memory: Memory) -> None:
    """Run every case of a job and of its probes; what fails is tried again when it is judged."""
    if change_of(job.directory, job.manifest.artifacts[0]):
        return
    for directory, manifest, path in _asked(job):
        with suppress(RunnerError), open_runtime(Bundle(directory, manifest), manifest.artifacts[0]) as runtime:
            memory.run(runtime, read_cases(path))


def _findings(job: ProofJob, memory: Memory) -> Findings:
    artifact = job.manifest.artifacts[0]
    if change := change_of(job.directory, artifact):
        return Findings(reports=(failed_report(artifact, change),))
    (served, *_), *probes = ((_report(*asked, memory), asked) for asked in _asked(job))
    reports = [served]
    if served.cases and artifact.format in _OPTIMIZING:
        plain = artifact.options.model_copy(update={"graph_optimization": "disabled"})
        reports.append(_report(job.directory, job.manifest, job.cases, memory, plain))
    named = {probe.name: report for probe, (report, _) in zip(job.probes, probes, strict=True)}
    return Findings(reports=tuple(reports), probes=named)


def _asked(job: ProofJob) -> Iterator[tuple[Path, Manifest, Path]]:
    """The artifact and its copies: where, what, and the file of the cases."""
    yield job.directory, job.manifest, job.cases
    for probe in job.probes:
        yield probe.directory, probe.manifest, probe.cases


def _report(
    directory: Path, manifest: Manifest, path: Path, memory: Memory, options: RuntimeOptions | None = None
) -> ParityReport:
    artifact, cases = manifest.artifacts[0], read_cases(path)
    remembered = memory.of(artifact, options or artifact.options, cases)
    try:
        with remembered or open_runtime(Bundle(directory, manifest), artifact, options) as runtime:
            found = replay(runtime, cases, manifest.judge(cases))
    except RunnerError as error:
        found = failed_report(artifact, str(error))
    return found.model_copy(update={"session": "" if options is None else PLAIN})


if __name__ == "__main__":
    # Libraries print what they like to standard output; that goes to the log with their errors.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1) as own:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        main(sys.argv[1], sys.stdin, own)
