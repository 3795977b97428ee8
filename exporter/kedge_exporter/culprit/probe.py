"""How the tensors inside an artifact are looked at, whatever its format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from kedge_bundle.signature import Tensors
from kedge_exporter.culprit.points import Point, TracedGraph


class CannotProbe(Exception):
    """Why the tensors inside an artifact cannot be looked at."""


@dataclass(frozen=True)
class Seen:
    """What an artifact holds at one point: the name of its tensor, and its value in Keras' layout."""

    tensor: str
    value: NDArray[Any]


class Probe(Protocol):
    """One artifact, opened to be looked into. Points are named by the tensor of the traced graph.

    Attributes:
        finest: the most precise dtype that its runtime computes in.
    """

    finest: ClassVar[str]

    def find(self, points: Sequence[Point], graph: TracedGraph) -> dict[str, str]:
        """The artifact's own names of the tensors that hold these points."""

    def run(self, inputs: Tensors, reference: Tensors) -> dict[str, Seen]:
        """Answer the inputs of the model, and tell what passes the points of which there is a `reference`.

        What has another shape than Keras' is left out: it is no such point.

        Raises:
            CannotProbe: the runtime does not run it.
        """

    def run_apart(self, inputs: Tensors, given: Tensors) -> dict[str, NDArray[Any]]:
        """What passes the points when whatever reads one is `given` another value instead, in Keras' layout.

        Once, and after `run`, with points that it has told of.

        Raises:
            CannotProbe: the runtime does not run it.
        """
