"""One artifact with everything that was found of it."""

import math
from dataclasses import dataclass, replace
from typing import Self

from kedge_bundle.manifest import Artifact
from kedge_bundle.parity import ParityReport, worst
from kedge_exporter.copies import Weight
from kedge_exporter.proof_job import PLAIN, Findings
from kedge_exporter.sensitivity import LOGITS, Sensitivity, logits_report, sensitivity


@dataclass(frozen=True)
class Proven:
    """An artifact and its proof, which may have failed.

    Attributes:
        artifact: with the verdict and the largest error of what serves; the runtime without optimizations has a verdict
            of its own, and serves only where it is asked for.
        reports: of the session that serves, first; of the runtime without optimizations; of the logits.
        sensitivity: whether the proof would have noticed a changed weight.
    """

    artifact: Artifact
    reports: tuple[ParityReport, ...]
    sensitivity: Sensitivity

    @classmethod
    def of(cls, artifact: Artifact, weight: Weight | None, findings: Findings) -> Self:
        """Sum up what the process found; `weight` is what differs in the changed copy."""
        logits = logits_report(findings)
        reports = findings.reports if logits is None else (*findings.reports, logits)
        return cls(artifact, (), sensitivity(artifact, weight, findings)).with_reports(reports)

    def with_reports(self, reports: tuple[ParityReport, ...]) -> Self:
        """The same artifact, judged by these reports."""
        served = tuple(report for report in reports if report.session != PLAIN)
        verdict = worst([report.verdict for report in served])
        update = {"verdict": verdict, "max_abs_error": _largest(served)}
        return replace(self, artifact=self.artifact.model_copy(update=update), reports=reports)

    @property
    def first_failure(self) -> str:
        """One sentence on the first thing that differs, and in which session; empty when nothing does."""
        for report in self.reports:
            if not report.is_proven and report.session != PLAIN:
                return report.first_failure() + (f" ({report.session})" if report.session else "")
        return ""

    @property
    def plain_failure(self) -> str:
        """What differs where the runtime does not optimize; empty where nothing does."""
        return next((report.first_failure() for report in self.reports if report.session == PLAIN), "")

    def describe(self) -> str:
        """For the progress: cases, verdict, and the largest error beside Keras' own."""
        times = [report.times_rounding for report in self.reports if report.times_rounding is not None]
        beside = f", {max(times):.2g} times Keras' own" if times else ""
        found = f"{len(self.reports[0].cases)} cases, {self.artifact.verdict}, largest error"
        return f"{found} {self.artifact.max_abs_error:.2g}{beside}"


def _largest(reports: tuple[ParityReport, ...]) -> float:
    """In units of the outputs; logits are no outputs."""
    errors = [report.max_abs_error for report in reports if report.session != LOGITS]
    errors = [error for error in errors if not math.isnan(error)]
    return max(errors, default=math.nan)
