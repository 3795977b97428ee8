"""Advice about a model's inputs: whether anything reads them, and what happens to their scale."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kedge_bundle.manifest import Advice
from kedge_exporter.advice_graph import Subject, exact_class, inner_graph, nodes

_KEEPS_SCALE = {"CenterCrop", "Identity", "Permute", "Reshape", "Resizing", "ZeroPadding2D"}
_SHRINKS = 1 / 64
"""A scale as small as this maps 0..255 to about 1: 1/255, 1/127.5, 1/128."""


def unread_input(subject: Subject) -> Iterator[Advice]:
    """An input that does not lead to any output: clients must send it, and nothing changes by it."""
    graph = subject.loaded.graph
    if graph is None:
        return
    for name, tensor in zip(subject.loaded.signature.input_names, graph.inputs, strict=True):
        if not _is_read(graph, tensor):
            yield Advice(
                code="unread-input",
                layer=tensor._keras_history.operation.name,  # noqa: SLF001 (Keras offers no public way)
                message=f"nothing reads the input '{name}': it does not lead to any output, but every client must send "
                "it; build the model without it, or connect it, and save again",
            )


def scaled_twice(subject: Subject) -> Iterator[Advice]:
    """Pixels that are brought from 0..255 to about 1 by one Rescaling, and by the next one again."""
    graph = subject.loaded.graph
    if graph is None:
        return
    for name, tensor in zip(subject.loaded.signature.input_names, graph.inputs, strict=True):
        for first, second in _shrunk_twice(graph, tensor, None):
            yield Advice(
                code="scaled-twice",
                layer=second,
                message=f"the input '{name}' is scaled down twice, by '{first}' and by '{second}': pixels of 0..255 "
                "end up near a single value; many of Keras' applications scale their input themselves; take one of the "
                "two out, train and save again",
            )


def _is_read(graph: Any, tensor: Any) -> bool:  # noqa: ANN401 (Keras ships no types)
    """Whether a tensor of a graph leads to one of its outputs, through nested models too."""
    if any(output is tensor for output in graph.outputs):
        return True
    for node in nodes(graph):
        positions = [i for i, read in enumerate(node.input_tensors) if read is tensor]
        inner = inner_graph(node.operation)
        if inner is None or len(inner.inputs) != len(node.input_tensors):
            if positions:
                return True
        elif any(_is_read(inner, inner.inputs[position]) for position in positions):
            return True
    return False


def _shrunk_twice(graph: Any, tensor: Any, first: str | None) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """The pairs of Rescaling layers that shrink one tensor one after the other; `first` did so before."""
    for node in nodes(graph):
        if not any(read is tensor for read in node.input_tensors):
            continue
        layer, inner = node.operation, inner_graph(node.operation)
        kind = exact_class(layer) or ""
        if inner is not None and len(inner.inputs) == len(node.input_tensors) == 1:
            yield from _shrunk_twice(inner, inner.inputs[0], first)
        elif kind == "Rescaling":
            shrinks = bool((np.abs(np.asarray(layer.scale, np.float64)) <= _SHRINKS).all())
            if shrinks and first is not None:
                yield first, layer.name
                continue
            yield from _shrunk_twice(graph, node.output_tensors[0], layer.name if shrinks else first)
        elif kind in _KEEPS_SCALE or kind.startswith("Random"):
            yield from _shrunk_twice(graph, node.output_tensors[0], first)
