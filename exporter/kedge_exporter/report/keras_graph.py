"""The calls of a Keras model, as the report draws them. Reads the loaded model's objects; imports nothing of Keras."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from kedge_bundle.signature import describe_shape
from kedge_exporter.advice_graph import inner_graph, nodes
from kedge_exporter.report.data import GraphNode

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel

_MOST_INSIDE = 2000
"""Calls beyond which a nested model stays a box: many models can hold one another, each called twice."""

_Tensor = tuple[int, int, int]
"""Which one a tensor is: its operation, which call of it, and which of its answers."""


def graph_of(loaded: "LoadedModel") -> tuple[GraphNode, ...]:
    """The calls in an order in which each follows what it reads; models inside are opened one level deep.

    Of a subclassed model its own layers, in the order in which they were made: nobody knows what reads what.
    """
    if loaded.graph is None:
        return tuple(_listed(loaded.model))
    reader = _Reader()
    reader.read(loaded.graph)
    return tuple(reader.nodes)


@dataclass
class _Reader:
    nodes: list[GraphNode] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    counted: set[int] = field(default_factory=set)

    def read(self, graph: Any, prefix: str = "", given: dict[_Tensor, str] | None = None) -> list[str | None]:  # noqa: ANN401 (Keras ships no types)
        """Note every call of a graph; the names of the calls that its outputs come from.

        Args:
            graph: a Functional.
            prefix: what stands before the names.
            given: who answers the graph's inputs, where it is called by another one.
        """
        sources = dict(given or {})
        for operation, index in _in_order(graph, frozenset(sources)):
            node = operation._inbound_nodes[index]  # noqa: SLF001 (Keras offers no public view of the edges)
            reads = [sources.get(_identity(tensor)) for tensor in node.input_tensors]
            inner = inner_graph(operation)
            if inner is not None and not prefix and _can_be_opened(inner, reads, len(self.nodes)):
                entries = {_identity(tensor): name for tensor, name in zip(inner.inputs, reads, strict=True) if name}
                answers = self.read(inner, f"{self._name(operation.name)}/", entries)
            else:
                name = self._name(prefix + operation.name)
                self.nodes.append(_described(operation, node, name, reads, has_counted=id(operation) in self.counted))
                self.counted.add(id(operation))
                answers = [name] * len(node.output_tensors)
            sources |= {(id(operation), index, i): name for i, name in enumerate(answers) if name}
        return [sources.get(_identity(tensor)) for tensor in graph.outputs]

    def _name(self, name: str) -> str:
        self.calls[name] += 1
        return name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"


def _can_be_opened(inner: Any, reads: list[str | None], seen: int) -> bool:  # noqa: ANN401
    return len(inner.inputs) == len(reads) and all(reads) and seen < _MOST_INSIDE


def _described(operation: Any, node: Any, name: str, reads: list[str | None], *, has_counted: bool) -> GraphNode:  # noqa: ANN401
    shapes = [describe_shape(tuple(tensor.shape), first="batch") for tensor in node.output_tensors]
    return GraphNode(
        name=name,
        class_name=type(operation).__name__,
        inputs=tuple(dict.fromkeys(read for read in reads if read)),
        shape=", ".join(shapes),
        parameters=0 if has_counted else _parameters(operation),
    )


def _in_order(graph: Any, given: frozenset[_Tensor]) -> Iterator[tuple[Any, int]]:  # noqa: ANN401
    """Every call once, behind what it reads, one branch after the other; inputs that nothing reads come first."""
    seen = {identity[:2] for identity in given}
    read = {id(tensor) for node in nodes(graph) for tensor in node.input_tensors}
    unread = [tensor for tensor in graph.inputs if id(tensor) not in read]
    waiting = [(*_call(tensor), False) for tensor in reversed([*unread, *graph.outputs])]
    while waiting:
        operation, index, is_ready = waiting.pop()
        if is_ready:
            yield operation, index
        elif (id(operation), index) not in seen:
            seen.add((id(operation), index))
            waiting.append((operation, index, True))
            inputs = operation._inbound_nodes[index].input_tensors  # noqa: SLF001 (as above)
            waiting += [(*_call(tensor), False) for tensor in reversed(inputs)]


def _call(tensor: Any) -> tuple[Any, int]:  # noqa: ANN401
    operation, node_index, _ = tensor._keras_history  # noqa: SLF001 (as above)
    return operation, node_index


def _identity(tensor: Any) -> _Tensor:  # noqa: ANN401
    operation, node_index, tensor_index = tensor._keras_history  # noqa: SLF001 (as above)
    return id(operation), node_index, tensor_index


def _listed(model: Any) -> Iterator[GraphNode]:  # noqa: ANN401
    for layer in model._flatten_layers(include_self=False, recursive=False):  # noqa: SLF001 (`layers` leaves out some)
        yield GraphNode(layer.name, type(layer).__name__, parameters=_parameters(layer))


def _parameters(operation: Any) -> int:  # noqa: ANN401
    return sum(prod(weight.shape) for weight in getattr(operation, "weights", ()))
