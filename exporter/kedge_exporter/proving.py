"""From the traced model to formats with verdicts: convert, prove, look at the edges, name the layer that is wrong."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedge_bundle.cases import Case
from kedge_bundle.manifest import Artifact, FormatName
from kedge_bundle.signature import Tensors, row_count
from kedge_exporter.culprit.curve import LayerCurve, explain
from kedge_exporter.edges import settle
from kedge_exporter.errors import ParityNotProven
from kedge_exporter.probes import Probes
from kedge_exporter.progress import Progress
from kedge_exporter.proof_processes import ProofProcesses
from kedge_exporter.prove import Prover
from kedge_exporter.proven import Proven
from kedge_exporter.publish import Draft
from kedge_exporter.rehearsal import Rehearsed
from kedge_exporter.report import page
from kedge_exporter.workshop import Workshop

if TYPE_CHECKING:
    from kedge_exporter.exact import Exact
    from kedge_exporter.keras_model import LoadedModel
    from kedge_exporter.tracing import Frozen

_SAMPLE_ROWS = 2
_IN_TURN: tuple[FormatName, ...] = ("saved_model", "tflite", "onnx")
"""The longest proof is begun first, and the longest conversion comes last, so that nobody waits at the end."""


@dataclass(frozen=True)
class Made:
    """Every format that was asked for, proven.

    Attributes:
        proven: in the order in which they were asked for.
        left_out: the names of cases that are not judged.
        layers: how the error grows from layer to layer, in every format in which layers can be seen.
        notes: what the user should know of the formats and their proofs.
    """

    proven: tuple[Proven, ...]
    left_out: frozenset[str]
    layers: tuple[LayerCurve, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Proving:
    """What the formats of one export are made from, and proven with.

    Attributes:
        loaded: the Keras model.
        exact: its reference, with the cases.
        frozen: the traced graph.
        draft: the bundle that is being made.
        work: a scratch directory.
        rehearsed: what runs already.
    """

    loaded: "LoadedModel"
    exact: "Exact"
    frozen: "Frozen"
    draft: Draft
    work: Path
    rehearsed: Rehearsed | None = None

    def run(self, processes: ProofProcesses, progress: Progress) -> Made:
        """Convert to every format and prove it.

        Raises:
            FormatImpossible: a format cannot hold the model.
            ParityNotProven: a format answers differently; the message names the case and, where it can, the layer.
        """
        prover = Prover.prepare(self.draft.staged, self.work, self.exact.cases, processes)
        probes = Probes.prepare(self.loaded, self.exact, self.draft, self.work, self.rehearsed)
        formats = self.draft.request.formats
        # A proof runs in a process of its own while the next format is converted.
        with ThreadPoolExecutor(len(formats)) as pool:
            workshop = Workshop(self.frozen, self.draft, prover, pool, progress, probes)
            made = {name: workshop.begin(name) for name in sorted(formats, key=_IN_TURN.index)}
            begun = [made[name] for name in formats]
            # The last proofs still run.
            layers = self._look_inside(tuple(artifact for artifact, _ in begun), progress)
            proven = tuple(workshop.finish(artifact, proof) for artifact, proof in begun)
        settled = settle(self.loaded, self.exact, proven)
        self._require_proof(settled.proven, progress)
        blind = map(_blindness, _blind(settled.proven))
        plain = map(_without_optimizations, (one for one in settled.proven if one.plain_failure))
        again = [
            one.artifact for (first, _), one in zip(begun, proven, strict=True) if one.artifact.files != first.files
        ]
        inside = {curve.format: curve for curve in (*layers, *self._curves(_with_layers(again)))}
        notes = (*workshop.notes, *settled.notes, *plain, *blind)
        return Made(settled.proven, settled.left_out, tuple(inside.values()), notes)

    def _look_inside(self, artifacts: Iterable[Artifact], progress: Progress) -> tuple[LayerCurve, ...]:
        with progress.phase("look inside") as phase:
            curves = self._curves(_with_layers(artifacts), meanwhile=page.make_ready)
            phase.detail = f"{sum(len(curve.layers) for curve in curves)} layers compared"
        return curves

    def _curves(
        self, artifacts: tuple[Artifact, ...], *, local: bool = False, meanwhile: Callable[[], None] | None = None
    ) -> tuple[LayerCurve, ...]:
        """How the error grows from layer to layer; the runtimes of the formats run side by side.

        Args:
            artifacts: those with layers to be seen.
            local: whether each layer is also measured by itself, which takes longer.
            meanwhile: what there is to do for this thread.
        """
        from kedge_exporter.culprit.compare import KerasValues, layer_curve  # noqa: PLC0415 (Keras; see `export.py`)

        keras = KerasValues(self.loaded, self.exact.model)

        def curve(one: Artifact) -> LayerCurve:
            return layer_curve(keras, self.frozen, self.draft.staged, one, self._sample(one), local=local)

        with ThreadPoolExecutor(len(_IN_TURN)) as pool:
            curves = pool.map(curve, artifacts)
            if meanwhile is not None:
                meanwhile()
        return tuple(curves)

    def _require_proof(self, proven: tuple[Proven, ...], progress: Progress) -> None:
        failed = [one for one in proven if one.artifact.verdict == "failed"]
        if not failed:
            return
        with progress.phase("find the layer"):
            curves = self._curves(tuple(one.artifact for one in failed), local=True)
        sentences = [
            f"{one.artifact.name}: {one.first_failure}; {explain(curve)}"
            for one, curve in zip(failed, curves, strict=True)
        ]
        reports = tuple(report for one in proven for report in one.reports)
        raise ParityNotProven("; ".join(sentences), reports, curves)

    def _sample(self, artifact: Artifact) -> Tensors:
        """The first rows of a typical case, as many as the artifact takes at once."""
        case = next((case for case in self.exact.cases if case.kind == "typical" and _rows(case) > 1), None)
        case = case or self.exact.cases[0]
        rows = min(_SAMPLE_ROWS, _rows(case)) if artifact.batch == "dynamic" else artifact.batch
        return {name: array[:rows] for name, array in case.inputs.items()}


def _with_layers(artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """A SavedModel is the traced graph itself."""
    return tuple(artifact for artifact in artifacts if artifact.format != "saved_model")


def _rows(case: Case) -> int:
    return row_count(case.inputs)


def _blind(proven: tuple[Proven, ...]) -> Iterator[Proven]:
    """Those whose proof could not notice a changed weight."""
    return (one for one in proven if one.sensitivity.weight and not one.sensitivity.noticed)


def _without_optimizations(one: Proven) -> str:
    return (
        f"{one.artifact.name} is not proven with --graph-optimization disabled, and serve-model refuses it: "
        f"{one.plain_failure}"
    )


def _blindness(one: Proven) -> str:
    return (
        f"the proof of {one.artifact.name} is blind to a weight that is off by one part in a thousand: "
        f"{one.sensitivity.reason}"
    )
