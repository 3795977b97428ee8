"""Do two sets of answers agree? Arithmetic in float64, non-finite values first.

Knows no runtime and no file: `replay.py` runs artifacts and asks here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.cases import Case
from kedge_bundle.differences import counts, differences
from kedge_bundle.histogram import ErrorHistogram
from kedge_bundle.parity import Budget, CaseParity, OutputParity, worst
from kedge_bundle.rounding import Reference, Yardstick
from kedge_bundle.signature import Tensors, describe_dtype, describe_shape


@dataclass(frozen=True)
class Judge:
    """What the answers of one artifact are held to, over all cases.

    Attributes:
        yardstick: sizes and Keras' own errors; has nothing on outputs without a reference.
        tolerance: an explicit one, `atol + rtol * scale` from Keras' own answer, which has the last word where an error
            is more than rounding; None: nothing but rounding is allowed.
        fallback: the tolerance for floats without a reference.
        largest: the `largest_values` of all cases.
    """

    yardstick: Yardstick
    fallback: Budget
    tolerance: Budget | None = None
    largest: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, cases: list[Case], fallback: Budget, tolerance: Budget | None = None, known: Reference | None = None
    ) -> Self:
        """A judge for these cases; `known` has Keras' own errors as seen over more of them."""
        return cls(Yardstick.of(cases, known), fallback, tolerance, largest_values(case.outputs for case in cases))

    def compare(self, case: Case, actual: Tensors) -> CaseParity:
        """Compare one case's answers by name; names, dtypes and shapes must be the same."""
        expected = case.outputs
        rows = max((array.shape[0] for array in expected.values() if array.ndim), default=0)
        if not expected or set(expected) != set(actual):
            reason = f"expected the outputs {sorted(expected)}, got {sorted(actual)}"
            reason = reason if expected else "nothing to compare"
            return CaseParity(case=case.name, rows=rows, outputs=(), verdict="failed", reason=reason)
        outputs = tuple(self._output(case, name, expected[name], actual[name]) for name in expected)
        return CaseParity(case=case.name, rows=rows, outputs=outputs, verdict=worst([one.verdict for one in outputs]))

    def histograms(self, case: Case, actual: Tensors) -> dict[str, tuple[ErrorHistogram, ErrorHistogram]]:
        """The artifact's and Keras' own errors in one case, of every output that has a reference and its shape."""
        return {
            name: (
                ErrorHistogram.of(self.yardstick.errors(name, case.kind, actual[name], exact)),
                ErrorHistogram.of(self.yardstick.errors(name, case.kind, case.outputs[name], exact)),
            )
            for name, exact in case.reference.items()
            if name in actual and actual[name].shape == exact.shape and actual[name].dtype.kind == "f"
        }

    def _output(
        self, case: Case, name: str, expected: NDArray[np.generic], actual: NDArray[np.generic]
    ) -> OutputParity:
        if reason := _other_form(expected, actual):
            return OutputParity(output=name, values=int(expected.size), verdict="failed", reason=reason)
        if expected.dtype.kind != "f":
            return _compare_exactly(name, expected, actual)
        found = counts(expected, actual)
        if reason := _other_nonfinite(expected.astype(np.float64), actual.astype(np.float64)):
            return OutputParity(output=name, values=int(expected.size), verdict="failed", reason=reason, **found)
        seen: dict[str, Any] = {**found, "output": name, "values": int(expected.size), "scale": _scale(expected)}
        if name not in case.reference:
            allowed = self.fallback.allowed(seen["scale"], self.largest.get(name, seen["scale"]))
            return _tolerated(expected, actual, allowed, seen | differences(expected, actual))
        return self._measured(case, name, actual, seen)

    def _measured(self, case: Case, name: str, actual: NDArray[np.generic], seen: dict[str, Any]) -> OutputParity:
        """By the float64 reference and Keras' own error; an explicit tolerance has the last word."""
        expected, exact = case.outputs[name], case.reference[name]
        error = self.yardstick.error(name, case.kind, actual, exact)
        own = self.yardstick.error(name, case.kind, expected, exact)
        allowed = self.yardstick.allowed(name, case.kind, actual.dtype)
        seen |= differences(exact, actual)
        seen |= {"error": error, "keras_error": own, "allowed": allowed}
        if np.array_equal(expected, actual, equal_nan=True):
            return OutputParity(**seen, verdict="bit-exact")
        if error <= allowed:
            return OutputParity(**seen, verdict="rounding-equivalent")
        if self.tolerance is not None:
            return _tolerated(expected, actual, self.tolerance.atol + self.tolerance.rtol * seen["scale"], seen)
        reason = (
            f"largest error {error:.3g} of the channel's size, {allowed:.3g} is rounding here (Keras' own error is "
            f"{self.yardstick.own_error(name, case.kind):.3g})"
        )
        return OutputParity(**seen, verdict="failed", reason=reason)


def largest_values(answers: Iterable[Tensors]) -> dict[str, float]:
    """The largest finite magnitude of each floating-point output over all cases, in units of the output."""
    largest: dict[str, float] = {}
    for tensors in answers:
        for name, array in tensors.items():
            if array.dtype.kind == "f":
                largest[name] = max(largest.get(name, 0.0), _scale(array.astype(np.float64)))
    return largest


def _scale(array: NDArray[np.generic]) -> float:
    wide = array.astype(np.float64)
    return float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))


def _other_form(expected: NDArray[np.generic], actual: NDArray[np.generic]) -> str:
    """Why the two cannot be compared at all; empty where they can."""
    if expected.dtype != actual.dtype:
        return f"expected dtype {describe_dtype(expected)}, got {describe_dtype(actual)}"
    if expected.shape != actual.shape:
        return f"expected shape {describe_shape(expected.shape)}, got {describe_shape(actual.shape)}"
    return "the output holds no value" if expected.size == 0 else ""


def _compare_exactly(name: str, expected: NDArray[np.generic], actual: NDArray[np.generic]) -> OutputParity:
    differing = int(np.count_nonzero(expected != actual))
    if differing:
        reason = f"{differing} of {expected.size} values differ"
        return OutputParity(output=name, values=int(expected.size), verdict="failed", reason=reason)
    return OutputParity(output=name, values=int(expected.size), max_abs_error=0.0, verdict="bit-exact")


def _tolerated(
    expected: NDArray[np.generic], actual: NDArray[np.generic], tolerance: float, seen: dict[str, Any]
) -> OutputParity:
    """By the absolute difference from Keras' own answer, in units of the output."""
    with np.errstate(over="ignore", invalid="ignore"):  # of float64 answers: an error can be one that does not fit
        difference = np.abs(expected.astype(np.float64) - actual.astype(np.float64))
    worst_error = float(difference[np.isfinite(expected)].max(initial=0.0))
    seen = seen | {"tolerance": tolerance}
    if np.array_equal(expected, actual, equal_nan=True):
        return OutputParity(**seen, verdict="bit-exact")
    if worst_error <= tolerance:
        return OutputParity(**seen, verdict="within-tolerance")
    reason = f"largest error {worst_error:.3g}, allowed {tolerance:.3g} at a scale of {seen['scale']:.3g}"
    return OutputParity(**seen, verdict="failed", reason=reason)


def _other_nonfinite(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> str:
    """Which way NaN and infinities differ: masks first, so that no error is an error of NaN."""
    finite, finite_actual = np.isfinite(expected), np.isfinite(actual)
    if not np.array_equal(finite, finite_actual):
        return "NaN or infinity stand in other places"
    same = np.array_equal(expected[~finite], actual[~finite], equal_nan=True)
    return "" if same else "NaN and infinities are not the same ones"
