"""What a proof says: verdicts, and reports by output, case and format; and no way to pass on nothing.

Who compares is `judge.py`; this page is what is written down.
"""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kedge_bundle.differences import Differences
from kedge_bundle.histogram import OutputHistogram

Verdict = Literal["bit-exact", "rounding-equivalent", "within-tolerance", "failed"]
"""Best first."""

_ATOL_SHARE = 30
_ORDER: tuple[Verdict, ...] = ("bit-exact", "rounding-equivalent", "within-tolerance", "failed")


class Budget(BaseModel):
    """The error that an artifact may show: `atol + rtol * scale`, where scale is the output's largest finite value.

    The scale is that of one output in one case. `atol` is for cases in which values cancel; it never exceeds
    `30 * rtol` of the output's largest value over all cases, or it would swamp an output of 1e-7 whole.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    rtol: float = Field(ge=0)
    atol: float = Field(ge=0)

    @classmethod
    def for_precision(cls, precision: Literal["bfloat16", "float16", "float32", "float64"]) -> "Budget":
        """The default budget of a model that computes in this precision.

        float32: about 250 roundings; measured errors of whole networks are 1e-8 to 5e-6 of the output's scale.
        bfloat16 has three bits less than float16: eight times its budget.
        """
        return {
            "bfloat16": cls(rtol=8e-2, atol=8e-3),
            "float16": cls(rtol=1e-2, atol=1e-3),
            "float32": cls(rtol=3e-5, atol=1e-6),
            "float64": cls(rtol=1e-10, atol=1e-12),
        }[precision]

    def allowed(self, scale: float, largest: float) -> float:
        """The largest error allowed, in units of the output.

        Args:
            scale: the largest finite value of the output in this case.
            largest: the same over all cases.
        """
        return min(self.atol, _ATOL_SHARE * self.rtol * largest) + self.rtol * scale


class OutputParity(Differences):
    """How one output of one case compares.

    Attributes:
        values: how many were compared.
        error: the largest difference from the float64 reference, by the size of its channel; None without one.
        keras_error: the same of Keras' own answers to this case.
        allowed: the `error` that is rounding in this model.
        scale: the largest finite value, in units of the output.
        tolerance: the absolute error allowed by an explicit tolerance, in units of the output; None where none judged.
    """

    output: str
    values: int
    error: float | None = None
    keras_error: float | None = None
    allowed: float | None = None
    scale: float | None = None
    tolerance: float | None = None
    verdict: Verdict
    reason: str = ""


class CaseParity(BaseModel):
    """Every output of one case."""

    model_config = ConfigDict(frozen=True)

    case: str
    rows: int
    outputs: tuple[OutputParity, ...]
    verdict: Verdict
    reason: str = ""


class ParityReport(BaseModel):
    """Every case of one format. `failed` unless at least one value was compared and nothing differed.

    Attributes:
        format: the artifact's name.
        session: how the runtime was set up where it is not as it serves: `graph optimization disabled`.
        histograms: how many values err by how much, over all cases, of every output with a float64 reference.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    device: str = "cpu"
    session: str = ""
    cases: tuple[CaseParity, ...]
    verdict: Verdict
    reason: str = ""
    histograms: tuple[OutputHistogram, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether the answers agree."""
        return self.verdict != "failed"

    @property
    def max_abs_error(self) -> float:
        """The largest difference over all cases and outputs, in units of the output; NaN if none was computed."""
        errors = [o.max_abs_error for case in self.cases for o in case.outputs if o.max_abs_error is not None]
        return max(errors, default=math.nan)

    @property
    def times_rounding(self) -> float | None:
        """The largest error as a multiple of Keras' own in the same model; None without a reference, or without any."""
        errors = [o.error for case in self.cases for o in case.outputs if o.error is not None]
        own = [o.keras_error for case in self.cases for o in case.outputs if o.keras_error is not None]
        return max(errors) / max(own) if own and max(own) > 0 else None

    def first_failure(self) -> str:
        """One sentence on the first thing that differs; empty when nothing does."""
        if self.is_proven:
            return ""
        for case in self.cases:
            for output in case.outputs:
                if output.verdict == "failed":
                    return f"case '{case.case}', output '{output.output}': {output.reason}"
            if case.verdict == "failed":
                return f"case '{case.case}': {case.reason}"
        return self.reason


def worst(verdicts: list[Verdict]) -> Verdict:
    """The worst of some verdicts; of none: failed."""
    return max(verdicts, key=_ORDER.index, default="failed")


def report(format_name: str, device: str, cases: list[CaseParity]) -> ParityReport:
    """Sum up the cases of one format; it fails unless every output was compared in at least one finite value."""
    verdict, reason = worst([case.verdict for case in cases]), ""
    names = {output.output for case in cases for output in case.outputs}
    compared = {o.output for case in cases for o in case.outputs if o.values > o.nonfinite_expected}
    if not cases:
        reason = "no case was compared"
    elif names - compared:
        verdict, reason = "failed", f"no finite value was compared of the outputs {sorted(names - compared)}"
    return ParityReport(format=format_name, device=device, cases=tuple(cases), verdict=verdict, reason=reason)
