"""Altered copies of every artifact: whether the proof could have failed, and what a softmax or sigmoid hides."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.manifest import Artifact
from kedge_bundle.rounding import Reference
from kedge_bundle.signature import Tensors
from kedge_exporter.copies import ChangedCopy, NoWeight, Weight, changed_weight, without_heads
from kedge_exporter.errors import ModelRefused
from kedge_exporter.exact import Exact, in_float64
from kedge_exporter.proof_job import Probe
from kedge_exporter.publish import Draft
from kedge_exporter.rehearsal import Rehearsed, of_changed
from kedge_exporter.sensitivity import CHANGED, LOGITS

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel


@dataclass(frozen=True)
class Probes:
    """Makes the altered copies of every format, with what they should answer.

    Attributes:
        draft: the bundle that is being made.
        work: a scratch directory.
        changed_cases: the cases that a copy with a changed weight is asked.
        logits_cases: the same with the logits of every head in the place of its answers; None where nothing has a head.
        heads: the outputs that end in a softmax or a sigmoid.
        rehearsed: what runs already.
    """

    draft: Draft
    work: Path
    changed_cases: Path
    logits_cases: Path | None
    heads: tuple[str, ...]
    rehearsed: Rehearsed | None = None

    @classmethod
    def prepare(
        cls, loaded: "LoadedModel", exact: Exact, draft: Draft, work: Path, rehearsed: Rehearsed | None = None
    ) -> Self:
        """Ask Keras, in both precisions, for the logits, and write the cases."""
        asked = of_changed(exact.cases)
        changed = work / "changed.npz"
        write_cases(changed, asked, is_compressed=False)
        with_logits, heads = _logits(loaded, exact, asked)
        logits = work / "logits.npz" if heads else None
        if logits is not None:
            write_cases(logits, with_logits, is_compressed=False)
        return cls(draft, work, changed, logits, heads, rehearsed)

    def of(self, artifact: Artifact) -> tuple[tuple[Probe, ...], Weight | None]:
        """Write the copies of one artifact; the weight that differs in the first, or None."""
        found = []
        home = self.work / f"copies-{artifact.name}"
        shutil.rmtree(home, ignore_errors=True)  # of an artifact that did not run with several rows
        weight = None
        try:
            changed, directory = self._changed(artifact, home / "changed")
        except NoWeight:
            pass  # said in its `Sensitivity`
        else:
            weight = changed.weight
            manifest = self.draft.manifest((changed.artifact,))
            found.append(Probe(name=CHANGED, directory=directory, manifest=manifest, cases=self.changed_cases))
        if self.logits_cases is not None:
            headless = without_heads(self.draft.staged, artifact, home / "logits", self.heads)
            if headless is not None and set(headless.outputs) == set(self.heads):
                manifest = self.draft.manifest((headless.artifact,))
                # Keras' own error on probabilities says nothing of its logits; the cases bring their own.
                manifest = manifest.model_copy(update={"reference": _without_own(self.draft.reference)})
                found.append(Probe(name=LOGITS, directory=home / "logits", manifest=manifest, cases=self.logits_cases))
        return tuple(found), weight

    def _changed(self, artifact: Artifact, into: Path) -> tuple[ChangedCopy, Path]:
        """The copy with another weight, and where it is; of what was rehearsed, that which ran there."""
        done = self.rehearsed
        if done is not None and done.changed is not None and done.artifact == artifact:
            return done.changed, done.directory
        return changed_weight(self.draft.staged, artifact, into), into


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
