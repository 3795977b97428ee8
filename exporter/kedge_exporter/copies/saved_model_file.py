"""`saved_model.pb` as data: its functions, what they call, and where each of their constants stands."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from mmap import mmap

import tensorflow as tf  # noqa: TID253 (this and the following: the module of this format)
from tensorflow.core.framework.function_pb2 import FunctionDef  # noqa: TID253
from tensorflow.core.framework.node_def_pb2 import NodeDef  # noqa: TID253
from tensorflow.core.framework.op_def_pb2 import OpDef  # noqa: TID253
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef  # noqa: TID253

from kedge_exporter.copies import wire
from kedge_exporter.copies.flow import Constant, Flow, Step

NODES, RETURNS = 3, 4
"""Field numbers of FunctionDef (`function.proto`); those of the other messages follow."""
_SIGNATURE = 1
_META_GRAPHS, _GRAPH, _SIGNATURES, _MAIN_NODES, _LIBRARY, _FUNCTIONS = 2, 2, 5, 1, 2, 1

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
class Answer:
    """Something that a function returns: its name, the tensor that it stands for, and where the file says so."""

    name: str
    reference: str
    field: wire.Field


@dataclass(frozen=True)
class Function:
    """A function of the library, or the main graph, which takes and returns nothing.

    Attributes:
        path: the fields around its nodes.
        nodes: in the file's order.
        arguments: the names of its arguments.
        returns: in the order in which callers count them.
    """

    path: tuple[wire.Field, ...]
    nodes: tuple[Node, ...]
    arguments: tuple[str, ...] = ()
    returns: tuple[Answer, ...] = ()

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

    def source(self, reference: str) -> tuple[Node | None, int]:
        """The node whose values a reference stands for, behind any Identity, and which of its outputs."""
        node = self.by_name.get(reference.partition(":")[0])
        while node is not None and node.op == "Identity":
            reference = node.reads[0]
            node = self.by_name.get(reference.partition(":")[0])
        last = reference.rpartition(":")[2]
        return node, int(last) if last.isdigit() else 0


class SavedModelFile:
    """A SavedModel with one signature to look at."""

    def __init__(self, data: mmap, signature: str) -> None:
        self.data = data
        meta_graph = next(wire.fields(data, None, _META_GRAPHS))
        graph = next(wire.fields(data, meta_graph, _GRAPH))
        library = next(wire.fields(data, graph, _LIBRARY))
        around = (meta_graph, graph)
        self._main = Function(around, tuple(self._nodes(graph, _MAIN_NODES)))
        functions = (self._function((*around, library, field)) for field in wire.fields(data, library, _FUNCTIONS))
        self._functions = dict(functions)
        entries = (
            MetaGraphDef.SignatureDefEntry.FromString(wire.content(data, field))
            for field in wire.fields(data, meta_graph, _SIGNATURES)
        )
        self._outputs = next(entry.value.outputs for entry in entries if entry.key == signature)
        self.places: dict[str, tuple[wire.Field, ...]] = {}

    def is_float(self, output: str) -> bool:
        """Whether an output of the signature holds floats."""
        return bool(tf.as_dtype(self._outputs[output].dtype).is_floating)

    def answering(self, output: str) -> tuple[Function, int]:
        """The innermost function that an output of the signature comes from, and which of its answers it is."""
        node, number = self._main.source(self._outputs[output].name)
        while node is not None and node.op in _CALLS:
            function, answer = self._functions[node.bodies[0]], number
            node, number = function.source(function.returns[answer].reference)
        return function, answer

    def flow(self, outputs: tuple[str, ...]) -> Flow:
        """What flows to these outputs of the signature; notes where each constant stands."""
        flow = Flow(outputs=[self._main.tensor(self._outputs[output].name) for output in outputs])
        self._add(flow, self._main, "")
        return flow

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
        return [scope + body.tensor(answer.reference) for answer in body.returns]

    def _function(self, path: tuple[wire.Field, ...]) -> tuple[str, Function]:
        signature = OpDef.FromString(wire.content(self.data, next(wire.fields(self.data, path[-1], _SIGNATURE))))
        returns = {}
        for field in wire.fields(self.data, path[-1], RETURNS):
            entry = FunctionDef.RetEntry.FromString(wire.content(self.data, field))
            returns[entry.key] = Answer(entry.key, entry.value, field)
        return signature.name, Function(
            path,
            tuple(self._nodes(path[-1], NODES)),
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


def _bodies(node: NodeDef) -> Iterator[str]:
    for key in sorted(node.attr):
        value = node.attr[key]
        yield from (function.name for function in (value.func, *value.list.func) if function.name)


def _constant(node: NodeDef) -> Constant:
    tensor = node.attr["value"].tensor
    dtype = tf.as_dtype(tensor.dtype)
    return Constant(dtype.name, tuple(dim.size for dim in tensor.tensor_shape.dim))
