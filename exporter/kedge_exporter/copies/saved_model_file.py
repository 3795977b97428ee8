"""`saved_model.pb` as data: its functions, what they call, and where each of their constants stands."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from mmap import mmap
from typing import Any

import tensorflow as tf  # noqa: TID253 (this and the following: the module of this format)
from tensorflow.core.framework.function_pb2 import FunctionDef  # noqa: TID253
from tensorflow.core.framework.node_def_pb2 import NodeDef  # noqa: TID253
from tensorflow.core.framework.op_def_pb2 import OpDef  # noqa: TID253
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef  # noqa: TID253

from kedge_exporter.copies import wire
from kedge_exporter.copies.flow import Constant, Flow, Step

_META_GRAPHS, _GRAPH, _SIGNATURES = 2, 2, 5
"""Field numbers of SavedModel and MetaGraphDef."""
NODES, _LIBRARY, _FUNCTIONS = 1, 2, 1
"""Of GraphDef and its library."""
_SIGNATURE, _BODY, _RETURNS = 1, 3, 4
"""Of FunctionDef."""

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}


@dataclass(frozen=True)
class Node:
    """A node without its weights.

    Attributes:
        field: where it stands.
        name: unique in its function.
        op: its op.
        reads: what it reads, in the words of its function; control inputs left out.
        bodies: the functions that it runs, by name.
        constant: what it holds, where it is a Const.
    """

    field: wire.Field
    name: str
    op: str
    reads: tuple[str, ...]
    bodies: tuple[str, ...]
    constant: Constant | None


@dataclass(frozen=True)
class Function:
    """A function of the library, or the graph itself, which takes and returns nothing.

    Attributes:
        path: the fields around its nodes.
        nodes: in the file's order.
        arguments: the names of its arguments.
        returns: the tensors that it returns, in the order in which callers count them.
    """

    path: tuple[wire.Field, ...]
    nodes: tuple[Node, ...]
    arguments: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def steps(self) -> list[Step]:
        """The nodes of the function alone."""
        names = ((self.tensor(read) for read in node.reads) for node in self.nodes)
        return [
            Step(node.op, tuple(reads), (node.name,), index)
            for index, (node, reads) in enumerate(zip(self.nodes, names, strict=True))
            if not node.bodies
        ]

    def tensor(self, reference: str) -> str:
        """`node:output:0` as `node`, or as `node:0` where the node runs functions, whose answers are told apart."""
        name, _, rest = reference.partition(":")
        if name in self.by_name and self.by_name[name].bodies:
            return f"{name}:{rest.rpartition(':')[2] or 0}"
        return name


class SavedModelFile:
    """A SavedModel with one signature to look at."""

    def __init__(self, data: mmap, signature: str) -> None:
        self.data = data
        meta_graph = next(wire.fields(data, None, _META_GRAPHS))
        graph = next(wire.fields(data, meta_graph, _GRAPH))
        around = (meta_graph, graph)
        self.graph = Function(around, tuple(self._nodes(graph, NODES)))
        functions = (
            self._function((*around, library, field))
            for library in wire.fields(data, graph, _LIBRARY)
            for field in wire.fields(data, library, _FUNCTIONS)
        )
        self._functions = dict(functions)
        entries = (
            ((meta_graph, field), MetaGraphDef.SignatureDefEntry.FromString(wire.content(data, field)))
            for field in wire.fields(data, meta_graph, _SIGNATURES)
        )
        self._signature_path, self._signature = next(found for found in entries if found[1].key == signature)
        self.places: dict[str, tuple[wire.Field, ...]] = {}

    def is_float(self, output: str) -> bool:
        """Whether an output of the signature holds floats."""
        return bool(tf.as_dtype(self._outputs[output].dtype).is_floating)

    def answer(self, output: str) -> str:
        """The tensor of the graph that an output of the signature is."""
        return self.graph.tensor(self._outputs[output].name)

    def with_answers(self, tensors: dict[str, str]) -> wire.Edit:
        """The edit that lets outputs of the signature be other tensors of the graph, `node:0`."""
        entry = MetaGraphDef.SignatureDefEntry()
        entry.CopyFrom(self._signature)
        for output, tensor in tensors.items():
            entry.value.outputs[output].name = tensor
        return wire.Edit(self._signature_path, serialized(entry))

    def flow(self, outputs: tuple[str, ...]) -> Flow:
        """What flows to these outputs of the signature; notes where each constant stands."""
        flow = Flow(outputs=[self.answer(output) for output in outputs])
        self._add(flow, self.graph, "")
        return flow

    @property
    def _outputs(self) -> Any:  # noqa: ANN401 (protobuf's map)
        return self._signature.value.outputs

    def _add(self, flow: Flow, function: Function, scope: str) -> None:
        """Add a function to the flow, with what it calls; `scope` tells one call from another."""
        for node in function.nodes:
            if node.constant is not None:
                flow.constants[scope + node.name] = node.constant
                self.places[scope + node.name] = (*function.path, node.field)
                continue
            reads = tuple(scope + function.tensor(reference) for reference in node.reads)
            if not node.bodies:
                flow.steps.append(Step(node.op, reads, (scope + node.name,)))
                continue
            answers = [self._add_body(flow, body, f"{scope}{node.name}|{body}|", reads) for body in node.bodies]
            for number in range(max(map(len, answers))):
                made = (f"{scope}{node.name}:{number}",)
                if node.op in _CALLS:
                    flow.steps.append(Step("Identity", (answers[0][number],), made))
                else:  # a loop's answer may come from any of its turns, or from before the first
                    flow.steps.append(Step(node.op, (*reads, *(name for side in answers for name in side)), made))

    def _add_body(self, flow: Flow, name: str, scope: str, given: tuple[str, ...]) -> list[str]:
        """Add a function that is called with the last of `given`; its answers."""
        body = self._functions[name]
        self._add(flow, body, scope)
        inputs = given[len(given) - len(body.arguments) :]
        for read, argument in zip(inputs, body.arguments, strict=True):
            flow.steps.append(Step("Identity", (read,), (scope + argument,)))
        return [scope + body.tensor(reference) for reference in body.returns]

    def _function(self, path: tuple[wire.Field, ...]) -> tuple[str, Function]:
        signature = OpDef.FromString(wire.content(self.data, next(wire.fields(self.data, path[-1], _SIGNATURE))))
        returns = {}
        for field in wire.fields(self.data, path[-1], _RETURNS):
            entry = FunctionDef.RetEntry.FromString(wire.content(self.data, field))
            returns[entry.key] = entry.value
        return signature.name, Function(
            path,
            tuple(self._nodes(path[-1], _BODY)),
            tuple(argument.name for argument in signature.input_arg),
            tuple(returns[answer.name] for answer in signature.output_arg),
        )

    def _nodes(self, message: wire.Field, number: int) -> Iterator[Node]:
        for field in wire.fields(self.data, message, number):
            # Transient, one weight at a time: a message holds its memory as long as any part of it lives.
            node = NodeDef.FromString(wire.content(self.data, field))
            yield Node(
                field,
                node.name,
                node.op,
                tuple(read for read in node.input if not read.startswith("^")),
                tuple(_bodies(node)),
                _constant(node) if node.op == "Const" else None,
            )


def serialized(message: NodeDef | MetaGraphDef.SignatureDefEntry) -> bytes:
    """A message as bytes, its maps in the order of their keys."""
    return bytes(message.SerializeToString(deterministic=True))


def _bodies(node: NodeDef) -> Iterator[str]:
    for key in sorted(node.attr):
        value = node.attr[key]
        yield from (function.name for function in (value.func, *value.list.func) if function.name)


def _constant(node: NodeDef) -> Constant:
    tensor = node.attr["value"].tensor
    dtype = tf.as_dtype(tensor.dtype)
    return Constant(dtype.name, tuple(dim.size for dim in tensor.tensor_shape.dim))
