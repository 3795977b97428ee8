"""Which tensors of an artifact are believed to be what their names say, and which layers it shows nothing of."""

from kedge_exporter.culprit.budget import Errors
from kedge_exporter.culprit.calls import LayerCall
from kedge_exporter.culprit.curve import UnseenLayer
from kedge_exporter.culprit.points import Point, TracedGraph

_WRONG, _RIGHT = 3e-2, 3e-3
"""Shares of an answer's size that tell what is not the same thing from what is, however it was rounded."""


def believed(points: list[Point], graph: TracedGraph, errors: dict[str, Errors]) -> list[Point]:
    """The points without those whose tensors only bear the name of a layer's answer.

    Converters fold a factor into an earlier product, or turn a matrix over, and leave the names. What is far from
    Keras' while all that is computed from it is right was not what it said.
    """
    while True:
        readers = graph.readers(points)
        liars = {
            point.tensor
            for point in points
            if errors[point.tensor].typical > _WRONG
            and readers[point.tensor]
            and all(errors[reader].typical < _RIGHT for reader in readers[point.tensor])
        }
        if not liars:
            return points
        points = [point for point in points if point.tensor not in liars]


def unseen(
    calls: tuple[LayerCall, ...], every: tuple[Point, ...], covers: dict[str, tuple[LayerCall, ...]]
) -> list[UnseenLayer]:
    """The layers that are part of no segment, less those that only call others and answer what these do."""
    covered = {call.key for segment in covers.values() for call in segment}
    computing = {point.call.key for point in every}
    callers = {call.key[:depth] for call in calls for depth in range(len(call.key))}
    found = []
    for call in calls:
        if call.key in covered or (call.key in callers and call.key not in computing):
            continue
        if not any(call.tensors):
            why = "Its answers are no tensors of the traced graph."
        elif call.key not in computing:
            why = "At inference it passes on what it is given."
        else:
            why = "Nothing behind it has a tensor of numbers that the artifact kept."
        found.append(UnseenLayer(layer=call.layer, class_name=call.class_name, why=why))
    return found
