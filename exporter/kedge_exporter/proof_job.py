"""What a process of the proof is asked, and what it finds: plain messages, no library."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kedge_bundle.cases import Case
from kedge_bundle.manifest import Artifact, Manifest
from kedge_bundle.parity import ParityReport, Verdict, worst
from kedge_bundle.signature import row_count

PLAIN = "graph optimization disabled"
"""The session that is proven beside the one that serves."""

_PLAIN_ROWS, _SLOW = 8, "denormal"
"""Without optimizations a runtime takes three times as long, and seconds for numbers that are slow anyway."""


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


def failed_report(artifact: Artifact, reason: str) -> ParityReport:
    """A report of nothing but why there is no proof."""
    return ParityReport(format=artifact.format, cases=(), verdict="failed", reason=reason)


def plain_cases(cases: list[Case]) -> list[Case]:
    """Those that the runtime is asked without its optimizations: the small ones, or all of them where none is."""
    return [case for case in cases if row_count(case.inputs) <= _PLAIN_ROWS and case.kind != _SLOW] or cases
