"""How far Keras' own answers are from exact ones, asked only where an artifact misses the budget on made-up extremes.

A deep network, far outside of what it was trained on, can grow one rounding in float32 beyond any fixed budget. Then
Keras itself is as wrong as the artifact, and the budget says nothing. The same weights in float64 tell the two apart.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.cases import Case
from kedge_bundle.parity import Budget, CaseParity, OutputParity, ParityReport, largest_values, report, worst
from kedge_exporter.errors import ModelRefused

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel

MOST_TIMES = 4.0
"""How many times Keras' own error an artifact's may be: both err, in different directions, by the luck of the sums."""

MOST_SHARE = 0.1
"""Of an output's largest value: where Keras itself errs by more, its answer says nothing that could be compared."""

_EXTREMES = ("zeros", "ones", "large", "tiny")
"""Kinds of cases that nobody sent and no training saw; real and typical inputs are always held to the budget."""


@dataclass(frozen=True)
class Settled:
    """Reports after Keras' own rounding was looked at.

    Attributes:
        reports: as they were, or with outputs that err no more than Keras does.
        uncertain: the cases that were judged so; their answers are no golden ones.
        notes: for the user.
    """

    reports: tuple[ParityReport, ...]
    uncertain: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def settle(loaded: "LoadedModel", cases: list[Case], reports: tuple[ParityReport, ...], budget: Budget) -> Settled:
    """Judge the outputs that miss the budget on extremes by Keras' own error there; everything else stays failed.

    Args:
        loaded: the model, to be built again in float64.
        cases: every case of the proof with Keras' answers.
        reports: one per format.
        budget: what the reports were judged by; the exact model must agree with Keras within it on all other cases.
    """
    names = frozenset(case.case for one in reports for case in one.cases if case.verdict == "failed")
    if not names or any(name.rpartition("-")[0] not in _EXTREMES for name in names):
        return Settled(reports)
    own = _own_errors(loaded, cases, names, budget)
    if own is None:
        return Settled(reports)
    settled = tuple(
        one if one.is_proven else report(one.format, one.device, [_settled_case(case, own) for case in one.cases])
        for one in reports
    )
    if not all(one.is_proven for one in settled):
        return Settled(reports)
    listing = ", ".join(f"'{name}'" for name in sorted(names))
    note = (
        f"on the case {listing} rounding in float32 moves Keras' own answers beyond the budget; there the formats were "
        f"held to {MOST_TIMES:g} times Keras' own error, measured against the same weights in float64"
    )
    return Settled(settled, names, (note,))


def _own_errors(
    loaded: "LoadedModel", cases: list[Case], names: frozenset[str], budget: Budget
) -> dict[tuple[str, str], float] | None:
    """Keras' largest error by case and output, in units of the output; None where no exact model can be had."""
    from kedge_exporter.precision import CannotRebuild, rebuild  # noqa: PLC0415 (Keras; see `export.py`)

    try:
        exact = rebuild(loaded, "float64")
        exactly = {case.name: exact.answer({name: _wide(a) for name, a in case.inputs.items()}) for case in cases}
    except (CannotRebuild, ModelRefused):  # it has no answers in float64
        return None
    largest = largest_values(case.outputs for case in cases)
    own: dict[tuple[str, str], float] = {}
    for case in cases:
        for name, array in case.outputs.items():
            error, scale = _error(array, exactly[case.name][name])
            if case.name in names:
                own[case.name, name] = error
            elif error > budget.allowed(scale, largest.get(name, 0.0)):
                return None  # not the same model: it would excuse anything
    return own


def _wide(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _error(array: NDArray[np.generic], exact: NDArray[np.generic]) -> tuple[float, float]:
    """The largest difference and the largest value, over what is finite; infinite where they cannot be compared."""
    if array.dtype.kind != "f" or exact.dtype != np.float64 or array.shape != exact.shape:
        return (0.0 if array.dtype == exact.dtype and np.array_equal(array, exact) else np.inf), 0.0
    finite = np.isfinite(array) & np.isfinite(exact)
    error = np.abs(array[finite].astype(np.float64) - exact[finite]).max(initial=0.0)
    return float(error), float(np.abs(exact[finite]).max(initial=0.0))


def _settled_case(case: CaseParity, own: dict[tuple[str, str], float]) -> CaseParity:
    outputs = tuple(_settled_output(output, own.get((case.case, output.output))) for output in case.outputs)
    return case.model_copy(update={"outputs": outputs, "verdict": worst([output.verdict for output in outputs])})


def _settled_output(output: OutputParity, own: float | None) -> OutputParity:
    """The output within what Keras' own rounding allows; as it was where either error is too large."""
    if output.verdict != "failed" or output.max_abs_error is None or output.scale is None or own is None:
        return output
    if not own <= MOST_SHARE * output.scale or output.max_abs_error > MOST_TIMES * own:
        return output
    return output.model_copy(
        update={"verdict": "within-tolerance", "allowed": MOST_TIMES * own, "reason": f"Keras itself errs by {own:.3g}"}
    )
