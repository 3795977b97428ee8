"""The proof: one artifact against Keras' answers, in a fresh process, through the runtime that will serve it.

`Prover` is used by the export. `python -m kedge_exporter.prove` is the fresh process: it has seen neither Keras nor
the converter, loads the artifact through `kedge_bundle.runtimes` and replays every case. No report is no proof.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from kedge_bundle.cases import Case, read_cases, write_cases
from kedge_bundle.errors import RunnerError
from kedge_bundle.manifest import Artifact, Manifest
from kedge_bundle.parity import ParityReport
from kedge_bundle.replay import replay
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.store import Bundle, describe_file
from kedge_exporter.processes import describe_exit, proof_environment


class _Job(BaseModel):
    """What the fresh process is asked to prove."""

    model_config = ConfigDict(frozen=True)

    directory: Path
    manifest: Manifest
    cases: Path
    report: Path


@dataclass(frozen=True)
class Prover:
    """Proves artifacts of one bundle that is being made.

    Attributes:
        staged: the directory of the bundle.
        work: a scratch directory.
        cases: every case, with Keras' answers.
        cases_file: the same, for the fresh processes.
    """

    staged: Path
    work: Path
    cases: list[Case]
    cases_file: Path

    @classmethod
    def prepare(cls, staged: Path, work: Path, cases: list[Case]) -> Self:
        """Write the cases where the fresh processes will read them."""
        path = work / "cases.npz"
        write_cases(path, cases)
        return cls(staged, work, cases, path)

    def prove(self, draft: Manifest) -> ParityReport:
        """Replay every case in a fresh process; whatever keeps it from a whole report is a failed report.

        Args:
            draft: a manifest with the signature, the budget and one artifact; the artifact's hashes are those of the
                files that the converter wrote.
        """
        artifact = draft.artifacts[0]
        job = _Job(
            directory=self.staged,
            manifest=draft,
            cases=self.cases_file,
            report=self.work / f"report-{artifact.format}.json",
        )
        job.report.unlink(missing_ok=True)
        job_file = self.work / f"job-{artifact.format}.json"
        job_file.write_text(job.model_dump_json(), "utf-8")
        command = [sys.executable, "-P", "-m", "kedge_exporter.prove", str(job_file)]
        finished = subprocess.run(  # noqa: S603 (our own module)
            command, env=proof_environment(), stdin=subprocess.DEVNULL, check=False
        )
        if finished.returncode != 0:
            return _failed(artifact, f"the proof's process {describe_exit(finished.returncode)}")
        return self._checked(artifact, job.report)

    def _checked(self, artifact: Artifact, path: Path) -> ParityReport:
        """The report, if it speaks of this format and of every output of every case."""
        try:
            report = ParityReport.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            return _failed(artifact, f"the proof left no report: {error}")
        if not report.is_proven:
            return report
        if report.format != artifact.format:
            return _failed(artifact, f"the proof speaks of {report.format}")
        compared = {(case.case, output.output) for case in report.cases for output in case.outputs}
        expected = {(case.name, name) for case in self.cases for name in case.outputs}
        if not expected or compared != expected:
            missing = sorted(expected - compared)[:3]
            return _failed(artifact, f"{len(expected - compared)} of {len(expected)} answers not compared: {missing}")
        return report


def could_not_run(report: ParityReport) -> bool:
    """Whether the artifact did not even answer, in every case or in some."""
    return not report.cases or any(not case.outputs for case in report.cases)


def _failed(artifact: Artifact, reason: str) -> ParityReport:
    return ParityReport(format=artifact.format, cases=(), verdict="failed", reason=reason)


def run_job(job_file: Path) -> None:
    """The fresh process: open the artifact, replay the cases, leave a report."""
    job = _Job.model_validate_json(job_file.read_bytes())
    job.report.write_text(_report(job).model_dump_json(), "utf-8")


def _report(job: _Job) -> ParityReport:
    artifact = job.manifest.artifacts[0]
    for file in artifact.files:
        # What is proven must be what will be published: the manifest's hashes are taken from the converter.
        if describe_file(job.directory, job.directory / file.path) != file:
            return _failed(artifact, f"'{file.path}' changed after it was converted")
    try:
        with open_runtime(Bundle(job.directory, job.manifest), artifact) as runtime:
            return replay(runtime, read_cases(job.cases), job.manifest.budget)
    except RunnerError as error:
        return _failed(artifact, str(error))


if __name__ == "__main__":
    run_job(Path(sys.argv[1]))
