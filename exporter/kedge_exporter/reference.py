"""Keras' own answers to the cases of the proof."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.cases import Case
from kedge_bundle.parity import Budget
from kedge_bundle.signature import Signature, Tensors, describe_shape
from kedge_exporter.errors import ModelRefused
from kedge_exporter.samples import SIZES, USUAL, Draw, has_open_sizes, make_cases, one_case, regrouped

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel

_SIZES_WANTED = 2


@dataclass(frozen=True)
class Reference:
    """The answered cases, and what the user should know of them."""

    cases: list[Case]
    notes: tuple[str, ...]


def drawn_cases(loaded: "LoadedModel", inputs: list[Draw], data: Tensors | None, seed: int) -> list[Case]:
    """Every case, without answers; in open axes the first sizes that Keras takes.

    Raises:
        ModelRefused: Keras takes none of the sizes.
    """
    signature = loaded.signature
    sizes = _open_sizes(loaded, inputs) if has_open_sizes(signature) else (1,)
    return make_cases(inputs, sizes, data, seed, signature.fixed_batch)


def reference_answers(loaded: "LoadedModel", made: list[Case]) -> Reference:
    """Ask Keras for its answers to every case.

    Raises:
        ModelRefused: Keras answers none of the typical cases.
    """
    cases, notes = _answered(loaded, [case for case in made if case.kind in USUAL])
    regrouping, regrouping_notes = _regrouped(loaded, cases)
    # Each by itself: the loudest row of a batch can decide on the others (`MelSpectrogram`), and typical rows hide it.
    edges, edges_notes = _answered(loaded, [case for case in made if case.kind not in USUAL])
    cases, notes = [*cases, *edges, *regrouping], [*notes, *edges_notes, *regrouping_notes]
    notes += [
        f"the output '{name}' is the same for every input of the proof, which therefore says little of the weights "
        "behind it; is the model trained? --data gives the proof real inputs"
        for name in constant_outputs(cases, Budget.for_precision(loaded.precision))
    ]
    return Reference(cases, tuple(notes))


def _answered(loaded: "LoadedModel", cases: list[Case]) -> tuple[list[Case], list[str]]:
    """The cases with answers, each by itself, and a note on every edge that Keras does not answer."""
    answered, notes = [], []
    for case in cases:
        try:
            answered.append(replace(case, outputs=loaded.answer(case.inputs)))
        except ModelRefused as error:
            if case.kind in USUAL:
                raise
            notes.append(f"case '{case.name}' is not part of the proof: {error}")
    return answered, notes


def _regrouped(loaded: "LoadedModel", cases: list[Case]) -> tuple[list[Case], list[str]]:
    """The cases of other order and company; none where Keras itself mixes rows."""
    budget = Budget.for_precision(loaded.precision)
    moved = regrouped(cases)
    for case in moved[:2]:
        for name, array in loaded.answer(case.inputs).items():
            if not _agree(array, case.outputs[name], budget):
                note = (
                    f"the output '{name}' of a row depends on the other rows of its batch, in Keras itself; a server "
                    "that joins requests to batches mixes them"
                )
                return [], [note]
    return moved, []


def _agree(array: NDArray[Any], other: NDArray[Any], budget: Budget) -> bool:
    if array.dtype.kind != "f" or array.shape != other.shape:
        return array.shape == other.shape and bool(np.array_equal(array, other))
    scale = float(np.abs(other[np.isfinite(other)]).max(initial=0.0))
    return bool(np.allclose(array, other, rtol=0, atol=10 * budget.allowed(scale, scale), equal_nan=True))


def constant_outputs(cases: list[Case], budget: Budget) -> list[str]:
    """The outputs whose rows differ by no more than the error that the proof allows: wrong weights would pass, too."""
    names = cases[0].outputs if cases else {}
    return [name for name in names if not _varies([case.outputs[name] for case in cases], budget)]


def _varies(answers: list[NDArray[np.generic]], budget: Budget) -> bool:
    """Whether rows of the same shape differ, or there are no two of them to compare."""
    rows: dict[tuple[int, ...], list[NDArray[np.generic]]] = {}
    for answer in answers:
        for row in answer if answer.ndim else [answer]:
            array = np.asarray(row, answer.dtype)  # one string of an array of strings is no array
            rows.setdefault(array.shape, []).append(array)
    comparable = [np.stack(group) for group in rows.values() if len(group) > 1]
    return not comparable or any(_rows_differ(group, budget) for group in comparable)


def _rows_differ(rows: NDArray[Any], budget: Budget) -> bool:
    """Whether any value differs between rows, shape (rows, ...), by more than the proof would notice."""
    if rows.dtype.kind != "f":
        return bool((rows != rows[0]).any())
    values = rows.astype(np.float64)
    finite = np.isfinite(values)
    if not np.array_equal(finite, np.broadcast_to(finite[0], finite.shape)):
        return True
    values = np.where(finite, values, 0.0)
    scale = float(np.abs(values).max(initial=0.0))
    return float(np.ptp(values, axis=0).max(initial=0.0)) > budget.allowed(scale, scale)


def check_answers(cases: list[Case], signature: Signature) -> None:
    """Make sure that Keras answers what its traced graph promises.

    Raises:
        ModelRefused: an output has another dtype or shape.
    """
    for case in cases:
        for spec in signature.outputs:
            array = case.outputs[spec.name]
            if array.dtype != spec.numpy_dtype or not spec.accepts_shape(array.shape):
                raise ModelRefused(
                    f"the output '{spec.name}' is {spec.dtype} {spec.describe_shape()} in the graph, but Keras "
                    f"answers {array.dtype} {describe_shape(array.shape)} in case '{case.name}'"
                )


def _open_sizes(loaded: "LoadedModel", inputs: list[Draw]) -> tuple[int, ...]:
    """The first sizes that Keras takes where the model leaves them open."""
    taken: list[int] = []
    first_error: ModelRefused | None = None
    for size in SIZES:
        try:
            loaded.answer(one_case(inputs, "typical", 1, size, np.random.default_rng(0)))
        except ModelRefused as error:
            first_error = first_error or error
            continue
        taken.append(size)
        if len(taken) == _SIZES_WANTED:
            break
    if not taken and first_error is not None:
        raise ModelRefused(f"none of the sizes {list(SIZES)} fits the open axes of the inputs: {first_error}")
    return tuple(taken)
