"""Faults planted in an ONNX file, each in the nodes of one layer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper


class Layer:
    """The nodes of a graph that bear a layer's name."""

    def __init__(self, graph: GraphProto, name: str) -> None:
        self.graph = graph
        self._name = name

    def nodes(self, *kinds: str) -> Iterator[NodeProto]:
        """Its nodes of these kinds: in its name is that of a tensor or of a weight."""
        for node in self.graph.node:
            if node.op_type in kinds and any(self._is_own(name) for name in (*node.output, *node.input)):
                yield node

    def node(self, *kinds: str) -> NodeProto:
        return next(self.nodes(*kinds))

    def change(self, node: NodeProto, place: int, change: Callable[[NDArray[np.float32]], None]) -> None:
        """Give a node a weight of its own that is another one."""
        before = next(tensor for tensor in self.graph.initializer if tensor.name == node.input[place])
        values = numpy_helper.to_array(before).copy()
        change(values)
        made = numpy_helper.from_array(values, f"{before.name}//changed")
        self.graph.initializer.append(made)
        node.input[place] = made.name

    def constants(self, node: NodeProto) -> list[int]:
        """Which of a node's inputs are weights."""
        names = {tensor.name for tensor in self.graph.initializer}
        return [place for place, name in enumerate(node.input) if name in names]

    def _is_own(self, name: str) -> bool:
        return f"/{self._name}_" in name or f"/{self._name}/" in name or name == self._name


def other_epsilon(layer: Layer) -> None:
    """The constant that is added to a variance."""
    for node in layer.nodes("Add"):
        for place in layer.constants(node):
            values = [t for t in layer.graph.initializer if t.name == node.input[place]]
            if numpy_helper.to_array(values[0]).size == 1:
                layer.change(node, place, lambda array: array.fill(0.05))
                return
    raise AssertionError("no epsilon")


def dropped_bias(layer: Layer) -> None:
    node = next(n for n in layer.nodes("Conv", "Add") if n.op_type == "Add" or len(n.input) == 3)
    layer.change(node, 2 if node.op_type == "Conv" else layer.constants(node)[0], lambda array: array.fill(0))


def flipped_kernel(layer: Layer) -> None:
    """The sign of the weights of one channel: the first of a convolution, the last of a product."""
    node = layer.node("Conv", "MatMul", "LSTM", "Gemm")

    def flip(array: NDArray[np.float32]) -> None:
        if node.op_type == "Conv":
            array[1] *= -1
        else:
            array[..., 1] *= -1

    layer.change(node, 1, flip)


def swapped_axes(layer: Layer) -> None:
    """A transpose that no longer turns the picture."""
    node = layer.node("Transpose")
    order = next(attribute for attribute in node.attribute if attribute.name == "perm").ints
    rows_and_columns = [place for place, axis in enumerate(order) if axis in (2, 3)] if order[1] == 1 else [1, 2]
    first, second = rows_and_columns
    order[first], order[second] = order[second], order[first]


def overflow(layer: Layer) -> None:
    """Through float16 and back."""
    node = layer.node("Mul")
    name = node.output[0]
    node.output[0] = f"{name}//wide"
    place = list(layer.graph.node).index(node) + 1
    half = helper.make_node("Cast", [f"{name}//wide"], [f"{name}//half"], to=TensorProto.FLOAT16)
    back = helper.make_node("Cast", [f"{name}//half"], [name], to=TensorProto.FLOAT)
    layer.graph.node.insert(place, back)
    layer.graph.node.insert(place, half)


def other_sum(layer: Layer) -> None:
    """A difference instead of a sum."""
    layer.node("Add").op_type = "Sub"


def plant(source: Path, target: Path, fault: str, layer: str) -> None:
    """Write the file with a fault of this name in this layer."""
    model = onnx.load(source)
    FAULTS[fault](Layer(model.graph, layer))
    onnx.save(model, target)


FAULTS: dict[str, Callable[[Layer], None]] = {
    fault.__name__: fault for fault in (other_epsilon, dropped_bias, flipped_kernel, swapped_axes, overflow, other_sum)
}
