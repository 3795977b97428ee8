"""Altered copies of ONNX files. Imports onnx; the file is read piece by piece, and written byte for byte."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from mmap import mmap
from pathlib import Path
from typing import Any

import onnx  # noqa: TID253 (the module of this format)
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper  # noqa: TID253 (as above)
from onnx.external_data_helper import (  # noqa: TID253 (as above)
    ExternalDataInfo,
    load_external_data_for_tensor,
    uses_external_data,
)

from kedge_bundle.manifest import Artifact
from kedge_exporter.copies import NoWeight, Weight, wire
from kedge_exporter.copies.flow import Constant, Flow, Step, head_behind, makers, weights
from kedge_exporter.copies.scaling import scaled

_GRAPH, _NODES, _INITIALIZERS, _OUTPUTS = 7, 1, 5, 12
"""Field numbers of `onnx.proto`: of ModelProto, and of GraphProto."""
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


def changed_weight(directory: Path, artifact: Artifact, into: Path, factor: float) -> Weight:
    """Write the file that holds the weight. See `copies.changed_weight`."""
    file = _File(wire.opened(directory / artifact.path))
    for name in weights(file.flow(tuple(artifact.outputs.values()))):
        place = file.places[name]
        tensor = place.tensor(file.data)
        told = ExternalDataInfo(tensor) if uses_external_data(tensor) else None
        if told is not None:
            load_external_data_for_tensor(tensor, str((directory / artifact.path).parent))
        changed = scaled(numpy_helper.to_array(tensor), factor)
        if changed is None:
            continue
        if told is not None:
            beside = Path(artifact.path).parent / told.location
            _write_external(directory / beside, into / beside, told.offset or 0, changed)
        else:
            wire.write(into / artifact.path, file.data, [place.edit(file.data, changed)])
        return Weight(name, changed.shape)
    raise NoWeight(f"'{artifact.path}' has no weight of its own that one part in a thousand changes")


def without_heads(directory: Path, artifact: Artifact, into: Path, outputs: tuple[str, ...]) -> dict[str, str]:
    """Add outputs that stand for the logits, in the place of those that were asked for. See `copies.without_heads`.

    What makes the probabilities stays, for whoever reads them inside; onnxruntime drops it where nobody does.
    """
    file = _File(wire.opened(directory / artifact.path))
    made_by = makers([step for step in file.steps if step.index >= 0])
    logits, edits = {}, []
    for output in outputs:
        own = artifact.outputs[output]
        path = head_behind(own, made_by)
        described = file.outputs[own]
        if path is None or described[1].type.tensor_type.elem_type not in _FLOATS:
            continue
        tensor = path[0].reads[0]
        behind = [file.nodes[step.index][1] for step in path[1:]] or [NodeProto(op_type="Identity", output=[own])]
        for node in behind:
            copy = NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [tensor, *node.input[1:]]
            tensor = file.free_name(node.output[0])
            copy.output[:] = [tensor]
            copy.name = tensor
            edits.append(wire.Edit((file.graph,), wire.encoded(_NODES, copy.SerializeToString()), is_added=True))
        described[1].name = logits[output] = tensor
        edits.append(wire.Edit((file.graph, described[0]), described[1].SerializeToString()))
    if logits:
        wire.write(into / artifact.path, file.data, edits)
    return logits


@dataclass(frozen=True)
class _Place:
    """Where a tensor stands: an initializer of the main graph, or inside a node of it.

    Attributes:
        path: the field of the initializer or of the node.
        number: for a tensor inside a node, which of those in it.
    """

    path: tuple[wire.Field, ...]
    number: int | None = None

    def tensor(self, data: mmap) -> TensorProto:
        """The tensor, read from the file."""
        held = wire.content(data, self.path[-1])
        if self.number is None:
            return TensorProto.FromString(held)
        return list(_tensors_inside(NodeProto.FromString(held)))[self.number]

    def edit(self, data: mmap, values: NDArray[Any]) -> wire.Edit:
        """The tensor holding other values."""
        if self.number is None:
            tensor = self.tensor(data)
            _hold(tensor, values)
            return wire.Edit(self.path, tensor.SerializeToString())
        node = NodeProto.FromString(wire.content(data, self.path[-1]))
        _hold(list(_tensors_inside(node))[self.number], values)
        return wire.Edit(self.path, node.SerializeToString())


class _File:
    """An ONNX file: its nodes in full, of its weights only where they are."""

    def __init__(self, data: mmap) -> None:
        self.data = data
        self.graph = next(wire.fields(data, None, _GRAPH))
        self.nodes: list[tuple[wire.Field, NodeProto]] = [
            (field, NodeProto.FromString(wire.content(data, field))) for field in wire.fields(data, self.graph, _NODES)
        ]
        self.places: dict[str, _Place] = {}

    @cached_property
    def outputs(self) -> dict[str, tuple[wire.Field, ValueInfoProto]]:
        """The outputs of the graph by name, and where each is described."""
        fields = wire.fields(self.data, self.graph, _OUTPUTS)
        described = [(field, ValueInfoProto.FromString(wire.content(self.data, field))) for field in fields]
        return {value.name: (field, value) for field, value in described}

    @cached_property
    def steps(self) -> list[Step]:
        """The nodes, those of loops and branches before the node that runs them, with no index."""
        return [step for index, (_, node) in enumerate(self.nodes) for step in _steps(node, index)]

    @cached_property
    def _names(self) -> set[str]:
        return {name for step in self.steps for name in (*step.reads, *step.makes)}

    def free_name(self, name: str) -> str:
        """A name for the logits' counterpart of a tensor."""
        candidate = f"{name}__logits"
        while candidate in self._names:
            candidate += "_"
        self._names.add(candidate)
        return candidate

    def flow(self, outputs: tuple[str, ...]) -> Flow:
        """What flows to the outputs; notes where each constant stands."""
        flow = Flow(self.steps, {}, list(outputs))
        for field in wire.fields(self.data, self.graph, _INITIALIZERS):
            # Transient, one weight at a time.
            tensor = TensorProto.FromString(wire.content(self.data, field))
            self._note(flow, tensor.name, tensor, _Place((self.graph, field)))
        for field, node in self.nodes:
            for number, (name, tensor) in enumerate(_named_tensors_inside(node)):
                self._note(flow, name, tensor, _Place((self.graph, field), number))
        return flow

    def _note(self, flow: Flow, name: str, tensor: TensorProto, place: _Place) -> None:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).name
        flow.constants[name] = Constant(dtype, tuple(tensor.dims))
        self.places[name] = place


def _steps(node: NodeProto, index: int) -> Iterator[Step]:
    """A node, behind those of its bodies; ONNX names are unique over all of them, so bodies read what is outside."""
    reads = list(node.input)
    for body in _bodies(node):
        for inner in body.node:
            yield from _steps(inner, -1)
        if body.input:  # of a loop or a scan, which hands its own inputs in, one for one; branches take none
            for given, argument in zip(node.input, body.input, strict=True):
                yield Step("Identity", (given,), (argument.name,))
        reads += [value.name for value in body.output]
    yield Step(node.op_type, tuple(reads), tuple(node.output), index)


def _bodies(node: NodeProto) -> list[GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _named_tensors_inside(node: NodeProto) -> Iterator[tuple[str, TensorProto]]:
    """What a Constant node holds, and the constants of the bodies of a node."""
    if node.op_type == "Constant":
        yield from ((node.output[0], attribute.t) for attribute in node.attribute if attribute.HasField("t"))
    for body in _bodies(node):
        yield from ((tensor.name, tensor) for tensor in body.initializer)
        for inner in body.node:
            yield from _named_tensors_inside(inner)


def _tensors_inside(node: NodeProto) -> Iterator[TensorProto]:
    return (tensor for _, tensor in _named_tensors_inside(node))


def _hold(tensor: TensorProto, values: NDArray[Any]) -> None:
    """Give a tensor other values of the same shape and dtype, and keep all else."""
    made = numpy_helper.from_array(values)
    for name in ("float_data", "double_data", "int32_data"):
        tensor.ClearField(name)
    tensor.raw_data = made.raw_data


def _write_external(source: Path, target: Path, start: int, values: NDArray[Any]) -> None:
    """Write the file beside the model that holds a tensor, from byte `start` on."""
    content = numpy_helper.from_array(values).raw_data
    shutil.copyfile(source, target)
    with target.open("r+b") as file:
        file.seek(start)
        file.write(content)
