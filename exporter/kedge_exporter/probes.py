"""Altered copies of every artifact: whether the proof could have failed, and what a softmax or sigmoid hides."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.manifest import Artifact
from kedge_bundle.rounding import Reference
from kedge_bundle.signature import Tensors
from kedge_exporter.copies import NoWeight, Weight, changed_weight, without_heads
from kedge_exporter.errors import ModelRefused
from kedge_exporter.exact import Exact, in_float64
from kedge_exporter.proof_worker import Probe
from kedge_exporter.publish import Draft
from kedge_exporter.sensitivity import CHANGED, LOGITS

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel

_ASKED = ("typical-7", "data-32")
_FEW = 3


@dataclass(frozen=True)
class Probes:
    """Makes the altered copies of every format, with what they should answer.

    Attributes:
        draft: the bundle that is being made.
        work: a scratch directory.
        changed_cases: the cases that a copy with a changed weight is asked.
        logits_cases: the same with the logits of every head in the place of its answers; None where nothing has a head.
        heads: the outputs that end in a softmax or a sigmoid.
    """

    draft: Draft
    work: Path
    changed_cases: Path
    logits_cases: Path | None
    heads: tuple[str, ...]

    @classmethod
    def prepare(cls, loaded: "LoadedModel", exact: Exact, draft: Draft, work: Path) -> Self:
        """Ask Keras, in both precisions, for the logits, and write the cases."""
        asked = [case for case in exact.cases if case.name in _ASKED] or exact.cases[:_FEW]
        changed = work / "changed.npz"
        write_cases(changed, asked)
        with_logits, heads = _logits(loaded, exact, asked)
        logits = work / "logits.npz" if heads else None
        if logits is not None:
            write_cases(logits, with_logits)
        return cls(draft, work, changed, logits, heads)

    def of(self, artifact: Artifact) -> tuple[tuple[Probe, ...], Weight | None]:
        """Write the copies of one artifact; the weight that differs in the first, or None."""
        found = []
        home = self.work / f"copies-{artifact.name}"
        shutil.rmtree(home, ignore_errors=True)  # of an artifact that did not run with several rows
        weight = None
        try:
            changed = changed_weight(self.draft.staged, artifact, home / "changed")
        except NoWeight:
            pass  # said in its `Sensitivity`
        else:
            weight = changed.weight
            manifest = self.draft.manifest((changed.artifact,))
            found.append(Probe(name=CHANGED, directory=home / "changed", manifest=manifest, cases=self.changed_cases))
        if self.logits_cases is not None:
            headless = without_heads(self.draft.staged, artifact, home / "logits", self.heads)
            if headless is not None and set(headless.outputs) == set(self.heads):
                manifest = self.draft.manifest((headless.artifact,))
                # Keras' own error on probabilities says nothing of its logits; the cases bring their own.
                manifest = manifest.model_copy(update={"reference": _without_own(self.draft.reference)})
                found.append(Probe(name=LOGITS, directory=home / "logits", manifest=manifest, cases=self.logits_cases))
        return tuple(found), weight


def _without_own(reference: Reference) -> Reference:
    return reference.model_copy(update={"own": {}, "probabilities": ()})


def _logits(loaded: "LoadedModel", exact: Exact, cases: list[Case]) -> tuple[list[Case], tuple[str, ...]]:
    """The cases with logits where the model has a head, and the outputs that are logits now."""
    from kedge_exporter.logits import answer_logits  # noqa: PLC0415 (Keras; see `export.py`)

    heads = exact.heads
    if not heads:
        return [], ()
    try:
        answered = [
            replace(case, outputs=case.outputs | _only(heads, answer_logits(loaded, case.inputs))) for case in cases
        ]
        if exact.model is not None:
            answered = [_with_reference(exact.model, case, heads) for case in answered]
    except ModelRefused:  # it answered all of these already; a head that tells no logits is none
        return [], ()
    return answered, heads


def _with_reference(model: "LoadedModel", case: Case, heads: tuple[str, ...]) -> Case:
    from kedge_exporter.logits import answer_logits  # noqa: PLC0415

    return replace(case, reference=case.reference | _only(heads, answer_logits(model, in_float64(case.inputs))))


def _only(names: tuple[str, ...], tensors: Tensors) -> Tensors:
    if missing := [name for name in names if name not in tensors]:
        raise ModelRefused(f"Keras tells no logits of {missing}")
    return {name: tensors[name] for name in names}
