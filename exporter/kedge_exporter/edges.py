"""Made-up inputs on which no answer is right: where a rounding of the input moves Keras' own answers as far.

A comparison, a floor or an argmax inside of a model decides one way or the other. On rows of ones, or of numbers below
the smallest normal one, it can stand exactly on the edge; then two right programs answer differently. What people send,
and what typical inputs are, is never excused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.cases import Case
from kedge_bundle.parity import OutputParity, ParityReport, report
from kedge_bundle.rounding import FACTOR, Yardstick
from kedge_bundle.signature import Tensors
from kedge_exporter.errors import ModelRefused
from kedge_exporter.exact import Exact, in_float64
from kedge_exporter.proof_job import PLAIN
from kedge_exporter.samples import USUAL

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel
    from kedge_exporter.proven import Proven

_LIFT = 2.0**24


@dataclass(frozen=True)
class Settled:
    """Proofs after the edges were looked at.

    Attributes:
        proven: as they were, or without the cases that are not judged.
        left_out: the names of these cases.
        notes: for the user.
    """

    proven: "tuple[Proven, ...]"
    left_out: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def settle(loaded: "LoadedModel", exact: Exact, proven: "tuple[Proven, ...]") -> Settled:
    """Leave out the edges on which Keras' own answers move as far as the artifacts' differ; all other failures stay."""
    failed = {
        (case.case, output.output): output
        for one in proven
        for found in one.reports
        if found.session != PLAIN
        for case in found.cases
        for output in case.outputs
        if output.verdict == "failed"
    }
    names = {name for name, _ in failed}
    by_name = {case.name: case for case in exact.cases}
    if not names or any(name not in by_name or by_name[name].kind in USUAL for name in names):
        return Settled(proven)
    yardstick = Yardstick.of(exact.cases, exact.reference)
    for name in sorted(names):
        outputs = {output: found for (case, output), found in failed.items() if case == name}
        if not _is_on_the_edge(exact.model or loaded, by_name[name], outputs, yardstick):
            return Settled(proven)
    note = (
        f"the cases {', '.join(map(repr, sorted(names)))} are not part of the proof: a rounding of their inputs moves "
        "Keras' own answers as far as the formats differ"
    )
    return Settled(tuple(_without(one, frozenset(names)) for one in proven), frozenset(names), (note,))


def _is_on_the_edge(model: "LoadedModel", case: Case, failed: dict[str, OutputParity], yardstick: Yardstick) -> bool:
    """Whether every output that differs moves as far when the inputs are rounded another way."""
    as_asked = in_float64 if model.precision == "float64" else dict
    try:
        still = model.answer(as_asked(case.inputs))
        moved = [model.answer(as_asked(inputs)) for inputs in _rounded(case.inputs)]
    except ModelRefused:
        return False
    for name, found in failed.items():
        answers = [one[name] for one in moved if one[name].shape == still[name].shape]
        if still[name].dtype.kind != "f":
            if all(np.array_equal(still[name], answer) for answer in answers):
                return False
            continue
        if found.max_abs_error is None:  # NaN or infinity stand in other places
            if all(np.array_equal(np.isfinite(still[name]), np.isfinite(answer)) for answer in answers):
                return False
            continue
        if found.error is None:  # without a reference, in units of the output
            moves = [_largest_difference(answer, still[name]) for answer in answers]
            error = found.max_abs_error
        else:
            moves = [yardstick.error(name, case.kind, answer, still[name]) for answer in answers]
            error = found.error
        if error > FACTOR * max(moves, default=0.0):
            return False
    return True


def _largest_difference(array: NDArray[Any], other: NDArray[Any]) -> float:
    difference = np.abs(array.astype(np.float64) - other.astype(np.float64))
    return float(difference[np.isfinite(difference)].max(initial=0.0))


def _rounded(inputs: Tensors) -> Iterator[Tensors]:
    """The inputs with every value a rounding up or down; numbers below the smallest normal one lost, and kept.

    Processors may take these for zeros, and one thread of a library does while another does not.
    """
    rng = np.random.default_rng(0)
    for _ in range(2):
        yield {name: _moved(array, rng) for name, array in inputs.items()}
    for factor in (0.0, _LIFT):
        yield {name: _below_normal_times(array, factor) for name, array in inputs.items()}


def _moved(array: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    if array.dtype.kind != "f":
        return array
    signs = rng.choice([-1, 1], array.shape)
    return np.asarray(array * (1 + signs * np.finfo(array.dtype).eps), array.dtype)


def _below_normal_times(array: NDArray[Any], factor: float) -> NDArray[Any]:
    if array.dtype.kind != "f":
        return array
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, array * array.dtype.type(factor), array)


def _without(one: "Proven", names: frozenset[str]) -> "Proven":
    return one.with_reports(tuple(_report_without(found, names) for found in one.reports))


def _report_without(found: ParityReport, names: frozenset[str]) -> ParityReport:
    kept = [case for case in found.cases if case.case not in names]
    judged = report(found.format, found.device, kept)
    return judged.model_copy(update={"session": found.session, "histograms": found.histograms})
