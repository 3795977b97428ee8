"""Whether the proof could have failed: what the proof of an altered copy says of it."""

from pydantic import BaseModel, ConfigDict

from kedge_bundle.manifest import Artifact
from kedge_bundle.parity import ParityReport
from kedge_exporter.copies import FACTOR, Weight
from kedge_exporter.proof_job import Findings
from kedge_exporter.prove import could_not_run

CHANGED, LOGITS = "changed weight", "logits"
"""What the copies are called."""


class Sensitivity(BaseModel):
    """Whether the proof of one format notices that one weight is off by one part in a thousand.

    Attributes:
        format: the artifact's name.
        weight: the format's own name of the weight that was changed in a copy; empty where there is none.
        shape: its shape, as the format keeps it.
        factor: what it was multiplied by.
        noticed: whether the proof of the copy failed, as it must.
        error: the largest error of the copy, by the size of its channel; None without a float64 reference.
        allowed: what would have been rounding there.
        reason: why the proof is blind; empty where it is not.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    weight: str = ""
    shape: tuple[int, ...] = ()
    factor: float = FACTOR
    noticed: bool
    error: float | None = None
    allowed: float | None = None
    reason: str = ""


def sensitivity(artifact: Artifact, weight: Weight | None, findings: Findings) -> Sensitivity:
    """What the proof of the changed copy says of the proof."""
    if weight is None:
        reason = "it has no weight that could be off by so little"
        return Sensitivity(format=artifact.name, noticed=False, reason=reason)
    report = findings.probes.get(CHANGED)
    known = {"format": artifact.name, "weight": weight.name, "shape": weight.shape}
    if report is None or could_not_run(report):
        why = "it was not asked" if report is None else report.first_failure()
        return Sensitivity(**known, noticed=False, reason=f"the copy did not run: {why}")
    outputs = [output for case in report.cases for output in case.outputs]
    most = max((one for one in outputs if one.error is not None), key=lambda one: one.error or 0.0, default=None)
    numbers = {} if most is None else {"error": most.error, "allowed": most.allowed}
    if not report.is_proven:
        return Sensitivity(**known, **numbers, noticed=True)
    if report.verdict == "bit-exact":
        reason = "its answers are the same to the last bit"
    elif most is None or report.verdict == "within-tolerance":
        reason = "the tolerance allows it"
    else:
        reason = f"it moves the answers by {most.error:.2g} of their size, and {most.allowed:.2g} is rounding here"
    return Sensitivity(**known, **numbers, noticed=False, reason=reason)


def logits_report(findings: Findings) -> ParityReport | None:
    """The proof of the logits; None where nothing has a head."""
    report = findings.probes.get(LOGITS)
    return None if report is None else report.model_copy(update={"session": LOGITS})
