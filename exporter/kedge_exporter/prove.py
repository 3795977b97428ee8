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
from kedge_exporter.proof_job import PLAIN, Findings, Probe, ProofJob, failed_report, plain_cases
from kedge_exporter.proof_processes import ProofProcesses


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
        write_cases(path, cases, is_compressed=False)
        return cls(staged, work, cases, path, processes)

    def prove(self, draft: Manifest, probes: tuple[Probe, ...] = ()) -> Findings:
        """Replay every case in a fresh process; whatever keeps it from a whole report is a failed report.

        Args:
            draft: a manifest with the signature, the budget and one artifact; the artifact's hashes are those of the
                files that the converter wrote.
            probes: altered copies of the artifact to run as well.
        """
        artifact = draft.artifacts[0]
        findings = self.work / f"findings-{artifact.format}.json"
        findings.unlink(missing_ok=True)
        job = ProofJob(directory=self.staged, manifest=draft, cases=self.cases_file, probes=probes, findings=findings)
        job_file = self.work / f"job-{artifact.format}.json"
        job_file.write_text(job.model_dump_json(), "utf-8")
        code = self.processes.prove(artifact.format, job_file)
        if code is not None:
            return _failed(artifact, f"the proof's process {describe_exit(code)}")
        return self._checked(artifact, findings, probes)

    def _checked(self, artifact: Artifact, findings: Path, probes: tuple[Probe, ...]) -> Findings:
        """The findings, if they speak of this format and of every output of every case, and of every probe."""
        try:
            found = Findings.model_validate_json(findings.read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            return _failed(artifact, f"the proof left no report: {error}")
        if not found.reports or found.verdict == "failed":
            return found if found.reports else _failed(artifact, "the proof left no report")
        if missing := {probe.name for probe in probes} - found.probes.keys():
            return _failed(artifact, f"the proof did not ask {sorted(missing)}")
        for report in found.reports:
            if reason := self._gap(artifact, report):
                return _failed(artifact, reason)
        return found

    def _gap(self, artifact: Artifact, report: ParityReport) -> str:
        """What a report does not speak of; empty where it is whole."""
        if report.format != artifact.format:
            return f"the proof speaks of {report.format}"
        compared = {(case.case, output.output) for case in report.cases for output in case.outputs}
        cases = plain_cases(self.cases) if report.session == PLAIN else self.cases
        expected = {(case.name, name) for case in cases for name in case.outputs}
        if expected and compared == expected:
            return ""
        missing = sorted(expected - compared)[:3]
        return f"{len(expected - compared)} of {len(expected)} answers not compared: {missing}"


def _failed(artifact: Artifact, reason: str) -> Findings:
    return Findings(reports=(failed_report(artifact, reason),))


def could_not_run(report: ParityReport) -> bool:
    """Whether the artifact did not even answer, in every case or in some."""
    return not report.cases or any(not case.outputs for case in report.cases)
