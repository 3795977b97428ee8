"""Faults planted in a TFLite file, each in the operators of one layer."""

from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

OPS = schema.BuiltinOperator


class Layer:
    """The operators of a file that bear a layer's name, those in the bodies of loops as well."""

    def __init__(self, model: Any, name: str) -> None:  # noqa: ANN401 (the schema's module ships no types)
        self.model = model
        self._name = name

    def operators(self, *kinds: int) -> Iterator[tuple[Any, Any]]:
        """Graph and operator, of these kinds."""
        for graph in self.model.subgraphs:
            for operator in graph.operators:
                code = self.model.operatorCodes[operator.opcodeIndex]
                names = [
                    graph.tensors[index].name.decode() for index in (*operator.outputs, *operator.inputs) if index >= 0
                ]
                if max(code.builtinCode, code.deprecatedBuiltinCode) in kinds and any(map(self._is_own, names)):
                    yield graph, operator

    def operator(self, *kinds: int) -> tuple[Any, Any]:
        return next(self.operators(*kinds))

    def values(self, graph: Any, operator: Any, place: int) -> NDArray[np.uint8]:  # noqa: ANN401
        """The bytes of a weight, to be changed; the operator gets a copy of its own."""
        tensor = copy(graph.tensors[operator.inputs[place]])
        buffer = copy(self.model.buffers[tensor.buffer])
        buffer.data = np.array(buffer.data, np.uint8)
        tensor.buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        graph.tensors.append(tensor)
        operator.inputs = [int(index) for index in operator.inputs]
        operator.inputs[place] = len(graph.tensors) - 1
        data: NDArray[np.uint8] = buffer.data
        return data

    def has_values(self, graph: Any, operator: Any, place: int) -> bool:  # noqa: ANN401
        data = self.model.buffers[graph.tensors[operator.inputs[place]].buffer].data
        return data is not None and len(data) > 0

    def _is_own(self, name: str) -> bool:
        return f"/{self._name}_" in name or f"/{self._name}/" in name


def other_epsilon(layer: Layer) -> None:
    """The constant that is added to a variance."""
    for graph, operator in layer.operators(OPS.ADD):
        for place in (0, 1):
            if layer.has_values(graph, operator, place):
                data = layer.values(graph, operator, place)
                if data.size == 4:
                    data.view(np.float32).fill(0.05)
                    return
    raise AssertionError("no epsilon")


def dropped_bias(layer: Layer) -> None:
    graph, operator = layer.operator(OPS.CONV_2D, OPS.FULLY_CONNECTED)
    layer.values(graph, operator, 2).fill(0)


def flipped_kernel(layer: Layer) -> None:
    """The sign of the weights of the second channel, which stand together."""
    graph, operator = layer.operator(OPS.CONV_2D, OPS.FULLY_CONNECTED)
    channels = int(graph.tensors[operator.inputs[1]].shape[0])
    values = layer.values(graph, operator, 1).view(np.float32).reshape(channels, -1)
    values[1] *= -1


def swapped_axes(layer: Layer) -> None:
    """A transpose that no longer turns the picture."""
    graph, operator = layer.operator(OPS.TRANSPOSE)
    order = layer.values(graph, operator, 1).view(np.int32)
    order[1], order[2] = order[2], order[1]


def overflow(layer: Layer) -> None:
    """Through float16 and back."""
    graph, operator = layer.operator(OPS.MUL)
    result = int(operator.outputs[0])
    wide, half = (copy(graph.tensors[result]) for _ in range(2))
    wide.name, half.name, half.type = b"wide", b"half", schema.TensorType.FLOAT16
    graph.tensors += [wide, half]
    half_index = len(graph.tensors) - 1
    operator.outputs = [half_index - 1]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = OPS.CAST
    code.version = 1
    layer.model.operatorCodes.append(code)
    place = graph.operators.index(operator) + 1
    for given, made in ((half_index, result), (half_index - 1, half_index)):
        cast = schema.OperatorT()
        cast.opcodeIndex = len(layer.model.operatorCodes) - 1
        cast.inputs, cast.outputs = [given], [made]
        graph.operators.insert(place, cast)


def other_sum(layer: Layer) -> None:
    """A difference instead of a sum."""
    _, operator = layer.operator(OPS.ADD)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = OPS.SUB
    code.version = 1
    layer.model.operatorCodes.append(code)
    operator.opcodeIndex = len(layer.model.operatorCodes) - 1
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.SubOptions, schema.SubOptionsT()


def plant(source: Path, target: Path, fault: str, layer: str) -> None:
    """Write the file with a fault of this name in this layer."""
    model = schema.ModelT.InitFromPackedBuf(source.read_bytes(), 0)
    FAULTS[fault](Layer(model, layer))
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    target.write_bytes(bytes(builder.Output()))


FAULTS: dict[str, Callable[[Layer], None]] = {
    fault.__name__: fault for fault in (other_epsilon, dropped_bias, flipped_kernel, swapped_axes, overflow, other_sum)
}
