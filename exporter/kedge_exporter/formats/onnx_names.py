"""Renaming tensors of an ONNX graph, the bodies of its loops and branches included."""

from collections.abc import Iterator

from onnx import GraphProto


def rename_tensors(graph: GraphProto, names: dict[str, str]) -> None:
    """Give the tensors of a graph other names, in place.

    Args:
        graph: the main graph.
        names: old name -> new name. A tensor inside that has a new name already makes way.
    """
    taken = set(names.values()) - set(names)
    inside = {name for part in _parts(graph) for name in _names_made(part)}
    moved = dict(names)
    for name in sorted(taken & inside):
        moved[name] = _free_name(name, inside | taken)
    for part in _parts(graph):
        _rename(part, moved)


def _parts(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and every graph inside it; inner ones may read the tensors of outer ones by name."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _parts(attribute.g)
            for inner in attribute.graphs:
                yield from _parts(inner)


def _names_made(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.output
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def _free_name(name: str, taken: set[str]) -> str:
    candidate = f"{name}__inside"
    while candidate in taken:
        candidate += "_"
    return candidate
