"""A process of the proof: `python -m kedge_exporter.proof_worker FORMAT`. It has seen neither Keras nor the converter.

It imports the format's runtime, says `ready`, and then proves one job per line of standard input (the path of a job
file), answering each with `done` when its report is written. It ends with its input.
"""

import os
import sys
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict

from kedge_bundle.cases import Case, read_cases
from kedge_bundle.errors import RunnerError
from kedge_bundle.manifest import Artifact, FormatName, Manifest, RuntimeOptions
from kedge_bundle.parity import ParityReport, Verdict, worst
from kedge_bundle.replay import replay
from kedge_bundle.runtimes import is_installed, open_runtime
from kedge_bundle.store import Bundle, describe_file

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
        findings: where to leave what was found.
    """

    model_config = ConfigDict(frozen=True)

    directory: Path
    manifest: Manifest
    cases: Path
    probes: tuple[Probe, ...] = ()
    findings: Path


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
    for line in jobs:
        job = ProofJob.model_validate_json(Path(line.rstrip("\n")).read_bytes())
        job.findings.write_text(_findings(job).model_dump_json(), "utf-8")
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


def _findings(job: ProofJob) -> Findings:
    artifact = job.manifest.artifacts[0]
    if change := change_of(job.directory, artifact):
        return Findings(reports=(failed_report(artifact, change),))
    cases = read_cases(job.cases)
    reports = [_report(job.directory, job.manifest, cases)]
    if reports[0].cases and artifact.format in _OPTIMIZING:
        plain = artifact.options.model_copy(update={"graph_optimization": "disabled"})
        reports.append(_report(job.directory, job.manifest, cases, plain))
    probes = {probe.name: _report(probe.directory, probe.manifest, read_cases(probe.cases)) for probe in job.probes}
    return Findings(reports=tuple(reports), probes=probes)


def _report(
    directory: Path, manifest: Manifest, cases: list[Case], options: RuntimeOptions | None = None
) -> ParityReport:
    artifact = manifest.artifacts[0]
    try:
        with open_runtime(Bundle(directory, manifest), artifact, options) as runtime:
            found = replay(runtime, cases, manifest.judge(cases))
    except RunnerError as error:
        found = failed_report(artifact, str(error))
    return found.model_copy(update={"session": "" if options is None else PLAIN})


if __name__ == "__main__":
    # Libraries print what they like to standard output; that goes to the log with their errors.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1) as own:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        main(sys.argv[1], sys.stdin, own)
