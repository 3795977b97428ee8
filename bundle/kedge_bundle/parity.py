"""Do two sets of answers agree? Arithmetic in float64, non-finite values first, and no way to pass on nothing.

Knows no runtime and no file: `replay.py` runs artifacts and asks here.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from kedge_bundle.signature import Tensors, describe_dtype, describe_shape

Verdict = Literal["bit-exact", "within-tolerance", "failed"]
"""Best first."""

_ATOL_SHARE = 30
_ORDER: tuple[Verdict, ...] = ("bit-exact", "within-tolerance", "failed")


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


class OutputParity(BaseModel):
    """How one output of one case compares. Errors are in units of the output, over finite values."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    output: str
    values: int
    max_abs_error: float | None = None
    rms_error: float | None = None
    scale: float | None = None
    allowed: float | None = None
    nonfinite_expected: int = 0
    nonfinite_actual: int = 0
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
    """Every case of one format. `failed` unless at least one value was compared and nothing differed."""

    model_config = ConfigDict(frozen=True)

    format: str
    device: str = "cpu"
    cases: tuple[CaseParity, ...]
    verdict: Verdict
    reason: str = ""

    @property
    def is_proven(self) -> bool:
        """Whether the answers agree."""
        return self.verdict != "failed"

    @property
    def max_abs_error(self) -> float:
        """The largest difference over all cases and outputs, in units of the output; NaN if none was computed."""
        errors = [o.max_abs_error for case in self.cases for o in case.outputs if o.max_abs_error is not None]
        return max(errors, default=math.nan)

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


def largest_values(answers: Iterable[Tensors]) -> dict[str, float]:
    """The largest finite magnitude of each floating-point output over all cases, in units of the output."""
    largest: dict[str, float] = {}
    for tensors in answers:
        for name, array in tensors.items():
            if array.dtype.kind == "f":
                largest[name] = max(largest.get(name, 0.0), _scale(array.astype(np.float64)))
    return largest


def compare(
    case: str, expected: Tensors, actual: Tensors, budget: Budget, largest: Mapping[str, float] | None = None
) -> CaseParity:
    """Compare one case's answers by name.

    Args:
        case: what the case is called in the report.
        expected: the reference answers, each (rows, ...).
        actual: the artifact's answers; names, dtypes and shapes must be the same.
        budget: the error allowed.
        largest: the `largest_values` of all cases; those of this case alone when None.
    """
    rows = max((array.shape[0] for array in expected.values() if array.ndim), default=0)
    if not expected or set(expected) != set(actual):
        reason = f"expected the outputs {sorted(expected)}, got {sorted(actual)}" if expected else "nothing to compare"
        return CaseParity(case=case, rows=rows, outputs=(), verdict="failed", reason=reason)
    largest = largest_values([expected]) if largest is None else largest
    outputs = tuple(
        _compare_output(name, expected[name], actual[name], budget, largest.get(name, 0.0)) for name in expected
    )
    return CaseParity(case=case, rows=rows, outputs=outputs, verdict=worst([output.verdict for output in outputs]))


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


def _scale(array: NDArray[np.float64]) -> float:
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def _compare_output(
    name: str, expected: NDArray[np.generic], actual: NDArray[np.generic], budget: Budget, largest: float
) -> OutputParity:
    def failed(reason: str) -> OutputParity:
        return OutputParity(output=name, values=int(expected.size), verdict="failed", reason=reason)

    if expected.dtype != actual.dtype:
        return failed(f"expected dtype {describe_dtype(expected)}, got {describe_dtype(actual)}")
    if expected.shape != actual.shape:
        return failed(f"expected shape {describe_shape(expected.shape)}, got {describe_shape(actual.shape)}")
    if expected.size == 0:
        return failed("the output holds no value")
    if expected.dtype.kind != "f":
        return _compare_exactly(name, expected, actual)
    return _compare_floats(name, expected.astype(np.float64), actual.astype(np.float64), budget, largest)


def _compare_exactly(name: str, expected: NDArray[np.generic], actual: NDArray[np.generic]) -> OutputParity:
    differing = int(np.count_nonzero(expected != actual))
    if differing:
        reason = f"{differing} of {expected.size} values differ"
        return OutputParity(output=name, values=int(expected.size), verdict="failed", reason=reason)
    return OutputParity(output=name, values=int(expected.size), max_abs_error=0.0, verdict="bit-exact")


def _compare_floats(
    name: str, expected: NDArray[np.float64], actual: NDArray[np.float64], budget: Budget, largest: float
) -> OutputParity:
    finite, finite_actual = np.isfinite(expected), np.isfinite(actual)
    counts = {
        "nonfinite_expected": int((~finite).sum()),
        "nonfinite_actual": int((~finite_actual).sum()),
    }
    # NaN where NaN, and each infinity with its sign: masks first, so that no error below is an error of NaN.
    same_nonfinite = np.array_equal(expected[~finite], actual[~finite], equal_nan=True)
    if not np.array_equal(finite, finite_actual) or not same_nonfinite:
        where = int(np.flatnonzero((finite != finite_actual).ravel())[0]) if (finite != finite_actual).any() else -1
        reason = "NaN or infinity stand in other places" if where >= 0 else "NaN and infinities are not the same ones"
        return OutputParity(output=name, values=expected.size, verdict="failed", reason=reason, **counts)
    with np.errstate(over="ignore"):  # of float64 answers; an infinite error is one that does not fit
        error = np.abs(expected[finite] - actual[finite])
        rms_error = float(np.sqrt(np.mean(error**2))) if error.size else 0.0
    worst_error = float(error.max(initial=0.0))
    scale = _scale(expected)
    allowed = budget.allowed(scale, largest)
    fits = worst_error <= allowed
    verdict: Verdict = "failed" if not fits else "bit-exact" if worst_error == 0 else "within-tolerance"
    return OutputParity(
        output=name,
        values=expected.size,
        max_abs_error=worst_error,
        rms_error=rms_error,
        scale=scale,
        allowed=allowed,
        verdict=verdict,
        reason="" if fits else f"largest error {worst_error:.3g}, allowed {allowed:.3g} at a scale of {scale:.3g}",
        **counts,
    )
