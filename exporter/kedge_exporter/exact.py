"""The reference of the proof: the same weights in float64, asked for every case, and checked before it is believed."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kedge_bundle.cases import Case
from kedge_bundle.rounding import MOST, Reference, Yardstick
from kedge_bundle.signature import Tensors
from kedge_exporter.errors import ModelRefused
from kedge_exporter.samples import USUAL, has_regrouped, regrouped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kedge_exporter.keras_model import LoadedModel

_FAIR = 0.01


@dataclass(frozen=True)
class Exact:
    """The cases with their reference.

    Attributes:
        model: the model in float64; None where there is none.
        cases: those that can be judged.
        reference: what the manifest says of it.
        notes: for the user.
    """

    model: "LoadedModel | None"
    cases: list[Case]
    reference: Reference
    notes: tuple[str, ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        """The outputs that end in a softmax or a sigmoid."""
        return self.reference.probabilities


def with_reference(
    loaded: "LoadedModel", cases: list[Case], *, why_not: str = "", may_have_heads: bool = True
) -> Exact:
    """Let the model in float64 answer every case; where it cannot, or is not the same model, Keras is the reference.

    Args:
        loaded: the model.
        cases: with Keras' own answers.
        why_not: a reason known beforehand.
        may_have_heads: `Frozen.may_have_heads`; Keras is not asked for logits that no op leads to.
    """
    from kedge_exporter.precision import CannotRebuild, rebuild  # noqa: PLC0415 (Keras; see `export.py`)

    if not why_not and loaded.precision == "float64":
        why_not = "the model computes in float64 itself"
    if why_not:
        return _without(cases, why_not)
    if not any(array.dtype.kind == "f" for case in cases for array in case.outputs.values()):
        return Exact(None, cases, Reference(precision="float64"))  # integers and strings are compared exactly
    try:
        model = rebuild(loaded, "float64", is_called=False)
        answers = _answers(model, cases)
        answered = [replace(case, reference=_floats(case, answers[case.name])) for case in cases]
    except (CannotRebuild, ModelRefused) as error:
        return _without(cases, str(error))
    heads = _heads(loaded) if may_have_heads else ()
    return _believed(model, answered, cases, heads)


def _believed(model: "LoadedModel", answered: list[Case], cases: list[Case], heads: tuple[str, ...]) -> Exact:
    """The reference, if Keras' own answers to usual inputs are near it; without the extremes where they are not."""
    answered, unmoved = _without_unmoved(answered)
    own = Yardstick.of(answered, Reference(precision="float64", probabilities=heads)).own
    for output, by_kind in own.items():
        for kind in USUAL:
            if not by_kind.get(kind, 0.0) <= MOST:
                why = (
                    f"in float64 the output '{output}' differs from Keras' own by {by_kind[kind]:.2g} of its size on "
                    f"{kind} inputs, which is no rounding: a decision inside falls differently, or rounding grows "
                    "beyond all bounds"
                )
                return _without(cases, why)
    lost = {kind for by_kind in own.values() for kind, error in by_kind.items() if not error <= MOST}
    notes = [
        f"the cases '{kind}' are not part of the proof: there rounding in float32 moves Keras' own answers by more "
        f"than {MOST:.0%} of their size"
        for kind in sorted(lost)
    ]
    notes += [
        f"the model is sensitive: on {kind} inputs rounding moves Keras' own answers, '{output}', by up to "
        f"{by_kind[kind]:.1%} of their size"
        for output, by_kind in own.items()
        for kind in USUAL
        if by_kind.get(kind, 0.0) > _FAIR
    ]
    kept = [case for case in answered if case.kind not in lost]
    # Only edges are lost, and no other kind is measured by them.
    measured = {
        name: {kind: error for kind, error in by_kind.items() if kind not in lost} for name, by_kind in own.items()
    }
    reference = Reference(precision="float64", own=measured, unmoved=unmoved, probabilities=heads)
    return Exact(model, kept, reference, tuple(notes))


def _heads(loaded: "LoadedModel") -> tuple[str, ...]:
    from kedge_exporter.logits import heads  # noqa: PLC0415 (Keras; see `export.py`)

    try:
        return tuple(heads(loaded))
    except ModelRefused:  # it answers the cases, but no probe; then nothing is known of its heads
        return ()


def _without_unmoved(cases: list[Case]) -> tuple[list[Case], tuple[str, ...]]:
    """The cases without the reference of outputs in which float64 changes nothing, and the names of these.

    Either nothing is rounded on the way, or some op computes in float32 whatever it is given (`tf.image.resize` does).
    Then Keras' error of zero is none, and a few digits would be too much to ask.
    """
    usual = [case for case in cases if case.kind in USUAL]
    unmoved = tuple(
        name
        for name in (usual[0].reference if usual else {})
        if all(np.array_equal(case.reference[name], case.outputs[name], equal_nan=True) for case in usual)
    )
    kept = [
        replace(case, reference={name: array for name, array in case.reference.items() if name not in unmoved})
        for case in cases
    ]
    return kept, unmoved


def _without(cases: list[Case], why: str) -> Exact:
    return Exact(None, cases, Reference(precision="float32", reason=why), (f"no reference in float64: {why}",))


def _answers(model: "LoadedModel", cases: list[Case]) -> dict[str, Tensors]:
    """The model's answers by case: from one graph, several times faster, where that answers them all."""
    from kedge_exporter.tracing import in_one_graph  # noqa: PLC0415 (Keras; see `export.py`)

    try:
        return _answers_of(in_one_graph(model), cases)
    except ModelRefused:  # a layer's code may ask for the number of rows, which a graph does not know
        return _answers_of(model, cases)


def _answers_of(model: "LoadedModel", cases: list[Case]) -> dict[str, Tensors]:
    """The model's answers by case; once for rows that only moved."""

    def answer(inputs: Tensors) -> Tensors:
        return model.answer(in_float64(inputs))

    if not has_regrouped(cases):  # rows may mix, or there are none
        return {case.name: answer(case.inputs) for case in cases}
    moved = {case.name for case in regrouped(cases)}
    answers = {case.name: answer(case.inputs) for case in cases if case.name not in moved}
    whole = [replace(case, outputs=answers[case.name]) for case in cases if case.name not in moved]
    return answers | {case.name: case.outputs for case in regrouped(whole)}


def in_float64(inputs: Tensors) -> Tensors:
    """The inputs as the model in float64 takes them: floats are cast, which changes no value; the others stay."""
    return {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in inputs.items()}


def _floats(case: Case, answers: Tensors) -> Tensors:
    """The outputs that float64 tells more of; shapes that are not Keras' are another model's."""
    found: dict[str, NDArray[np.generic]] = {}
    for name, array in case.outputs.items():
        if array.dtype.kind != "f":
            continue
        exact = answers[name]
        if exact.dtype != np.float64 or exact.shape != array.shape:
            raise ModelRefused(
                f"in float64 the output '{name}' is {exact.dtype} of shape {exact.shape}, not {array.shape}"
            )
        found[name] = exact
    return found
