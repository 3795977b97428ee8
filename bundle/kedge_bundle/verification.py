"""What became of each artifact of a bundle on this machine: replayed, passed over, or failed. Prints nothing."""

from dataclasses import dataclass
from pathlib import Path

from kedge_bundle.attestation import Finding, attest, write_attestation
from kedge_bundle.errors import BundleError, DeviceUnavailable, RunnerError, RuntimeMissing
from kedge_bundle.machine import this_machine
from kedge_bundle.manifest import Artifact, RuntimeOptions
from kedge_bundle.parity import ParityReport
from kedge_bundle.replay import verify
from kedge_bundle.store import Bundle
from kedge_bundle.toolchain import runtime_packages

PROVEN, NOT_PROVEN, NO_RUNTIME, NO_RECORD = 0, 1, 4, 5
"""Exit codes of `verify-model`; 2 is usage, 3 a bundle that must not be used."""


@dataclass(frozen=True)
class Outcome:
    """What became of one artifact: a report, or the reason why there is none."""

    artifact: Artifact
    options: RuntimeOptions
    report: ParityReport | None = None
    skipped: str = ""
    failed: str = ""

    @property
    def verdict(self) -> str:
        """The report's verdict, or what there is instead of one."""
        if self.report is not None:
            return self.report.verdict
        return "failed" if self.failed else "not checked"

    @property
    def explanation(self) -> str:
        """One sentence on what went wrong; empty where nothing did."""
        return self.report.first_failure() if self.report is not None else self.failed or self.skipped


@dataclass(frozen=True)
class Record:
    """What became of `--attest`: the file, or why there is none; neither where nobody asked."""

    path: Path | None = None
    problem: str = ""


def verify_artifact(bundle: Bundle, artifact: Artifact, options: RuntimeOptions, *, was_asked_for: bool) -> Outcome:
    """Replay one artifact. What this box cannot run is passed over, unless it was asked for by name."""
    try:
        return Outcome(artifact, options, report=verify(bundle, artifact, options))
    except (RuntimeMissing, DeviceUnavailable) as error:
        reason = str(error)
        return Outcome(
            artifact, options, failed=reason if was_asked_for else "", skipped="" if was_asked_for else reason
        )
    except (RunnerError, BundleError) as error:
        return Outcome(artifact, options, failed=str(error))


def exit_code(outcomes: list[Outcome]) -> int:
    """What `verify-model` ends with: nothing counts as proven where nothing was compared."""
    if any(outcome.report is not None and not outcome.report.is_proven for outcome in outcomes):
        return NOT_PROVEN
    if any(outcome.failed for outcome in outcomes) or not any(outcome.report for outcome in outcomes):
        return NO_RUNTIME
    return PROVEN


def write_record(bundle: Bundle, outcomes: list[Outcome]) -> Record:
    """Attest beside the bundle what was replayed."""
    findings = [
        Finding.of(o.artifact, o.options, runtime_packages(o.artifact.format, o.options.device), o.report)
        for o in outcomes
        if o.report is not None
    ]
    if not findings:
        return Record(problem="nothing is attested: no artifact could be run")
    on_gpu = any(finding.options.device == "gpu" for finding in findings)
    try:
        path = write_attestation(bundle, attest(bundle, this_machine("gpu" if on_gpu else "cpu"), findings))
    except OSError as error:
        return Record(
            problem=f"the attestation cannot be written beside {bundle.directory}: {error.strerror}; whoever attests "
            "must be allowed to write into the directory that holds the versions"
        )
    return Record(path)
