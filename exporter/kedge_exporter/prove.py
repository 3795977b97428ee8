"""The proof: one artifact against Keras' answers, in a fresh process, through the runtime that will serve it.

The process (`proof_worker.py`) has seen neither Keras nor the converter, loads the artifact through
`kedge_bundle.runtimes` and replays every case. No report is no proof.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.manifest import Artifact, Manifest
from kedge_bundle.parity import ParityReport
from kedge_exporter.processes import describe_exit
from kedge_exporter.proof_processes import ProofProcesses
from kedge_exporter.proof_worker import ProofJob, failed_report


@dataclass(frozen=True)
class Prover:
    """Proves artifacts of one bundle that is being made.

    Attributes:
        staged: the directory of the bundle.
        work: a scratch directory.
        cases: every case, with Keras' answers.
        cases_file: the same, for the processes that prove.
        processes: where the proofs run.
    """

    staged: Path
    work: Path
    cases: list[Case]
    cases_file: Path
    processes: ProofProcesses

    @classmethod
    def prepare(cls, staged: Path, work: Path, cases: list[Case], processes: ProofProcesses) -> Self:
        """Write the cases where the processes that prove will read them."""
        path = work / "cases.npz"
        write_cases(path, cases)
        return cls(staged, work, cases, path, processes)

    def prove(self, draft: Manifest) -> ParityReport:
        """Replay every case in a fresh process; whatever keeps it from a whole report is a failed report.

        Args:
            draft: a manifest with the signature, the budget and one artifact; the artifact's hashes are those of the
                files that the converter wrote.
        """
        artifact = draft.artifacts[0]
        job = ProofJob(
            directory=self.staged,
            manifest=draft,
            cases=self.cases_file,
            report=self.work / f"report-{artifact.format}.json",
        )
        job.report.unlink(missing_ok=True)
        job_file = self.work / f"job-{artifact.format}.json"
        job_file.write_text(job.model_dump_json(), "utf-8")
        code = self.processes.prove(artifact.format, job_file)
        if code is not None:
            return failed_report(artifact, f"the proof's process {describe_exit(code)}")
        return self._checked(artifact, job.report)

    def _checked(self, artifact: Artifact, path: Path) -> ParityReport:
        """The report, if it speaks of this format and of every output of every case."""
        try:
            report = ParityReport.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            return failed_report(artifact, f"the proof left no report: {error}")
        if not report.is_proven:
            return report
        if report.format != artifact.format:
            return failed_report(artifact, f"the proof speaks of {report.format}")
        compared = {(case.case, output.output) for case in report.cases for output in case.outputs}
        expected = {(case.name, name) for case in self.cases for name in case.outputs}
        if not expected or compared != expected:
            missing = sorted(expected - compared)[:3]
            return failed_report(
                artifact, f"{len(expected - compared)} of {len(expected)} answers not compared: {missing}"
            )
        return report


def could_not_run(report: ParityReport) -> bool:
    """Whether the artifact did not even answer, in every case or in some."""
    return not report.cases or any(not case.outputs for case in report.cases)
