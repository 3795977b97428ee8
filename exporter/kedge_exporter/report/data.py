"""What a report is made of. No library here: the parts were read from the model and from the proof before."""

from dataclasses import dataclass

from kedge_bundle.manifest import Manifest
from kedge_bundle.parity import ParityReport
from kedge_exporter.culprit.curve import LayerCurve
from kedge_exporter.proof_file import Proof
from kedge_exporter.sensitivity import LOGITS


@dataclass(frozen=True)
class GraphNode:
    """One call of a layer.

    Attributes:
        name: the layer's, inside of other models `block/conv2d`; a later call of the same layer is `dense#2`.
        class_name: the layer's class.
        inputs: the names of the calls that it reads; none of those of a subclassed model, whose code joins them.
        shape: of what it answers, for people; empty where nobody knows.
        parameters: how many weights the layer has; a later call of the same layer adds none.
    """

    name: str
    class_name: str
    inputs: tuple[str, ...] = ()
    shape: str = ""
    parameters: int = 0


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows; what is missing has no section.

    Attributes:
        manifest: as it will be written.
        proof: `parity.json`: the numbers of the report point into it.
        graph: the calls of the model, in order.
        parameters: how many weights the model has; None where that is not known.
        layers: how the error grows from layer to layer, by format; `layers` of the proof.
    """

    manifest: Manifest
    proof: Proof
    graph: tuple[GraphNode, ...] = ()
    parameters: int | None = None
    layers: tuple[LayerCurve, ...] = ()

    @property
    def serving(self) -> list[tuple[str, ParityReport]]:
        """The reports of the sessions that serve, each with its place in the proof."""
        return [(at, report) for at, report in self._placed if not report.session]

    @property
    def sessions(self) -> list[tuple[str, ParityReport]]:
        """The reports of every session of the runtimes, each with its place in the proof."""
        return [(at, report) for at, report in self._placed if report.session != LOGITS]

    @property
    def logits(self) -> list[tuple[str, ParityReport]]:
        """The reports of what the last softmax or sigmoid was given, each with its place in the proof."""
        return [(at, report) for at, report in self._placed if report.session == LOGITS]

    @property
    def _placed(self) -> list[tuple[str, ParityReport]]:
        return [(f"/reports/{place}", report) for place, report in enumerate(self.proof.reports)]
