"""A process of the proof: `python -m kedge_exporter.proof_worker FORMAT`. It has seen neither Keras nor the converter.

It imports the format's runtime, says `ready`, and then proves one job per line of standard input (the path of a job
file), answering each with `done` when its report is written. It ends with its input.
"""

import os
import sys
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict

from kedge_bundle.cases import read_cases
from kedge_bundle.errors import RunnerError
from kedge_bundle.manifest import Artifact, Manifest
from kedge_bundle.parity import ParityReport
from kedge_bundle.replay import replay
from kedge_bundle.runtimes import is_installed, open_runtime
from kedge_bundle.store import Bundle, describe_file


class ProofJob(BaseModel):
    """What to prove.

    Attributes:
        directory: the bundle that is being made.
        manifest: its draft, with one artifact.
        cases: the cases with Keras' answers.
        report: where to leave the report.
    """

    model_config = ConfigDict(frozen=True)

    directory: Path
    manifest: Manifest
    cases: Path
    report: Path


def main(format_name: str, jobs: TextIO, answers: TextIO) -> None:
    """Prove one job after another."""
    is_installed(format_name)  # type: ignore[arg-type]  # (a format's name; where it is missing, the proof says so)
    answers.write("ready\n")
    for line in jobs:
        job = ProofJob.model_validate_json(Path(line.rstrip("\n")).read_bytes())
        job.report.write_text(_report(job).model_dump_json(), "utf-8")
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


def _report(job: ProofJob) -> ParityReport:
    artifact = job.manifest.artifacts[0]
    if change := change_of(job.directory, artifact):
        return failed_report(artifact, change)
    try:
        with open_runtime(Bundle(job.directory, job.manifest), artifact) as runtime:
            return replay(runtime, read_cases(job.cases), job.manifest.budget)
    except RunnerError as error:
        return failed_report(artifact, str(error))


if __name__ == "__main__":
    # Libraries print what they like to standard output; that goes to the log with their errors.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1) as own:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        main(sys.argv[1], sys.stdin, own)
