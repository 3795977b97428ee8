"""From a frozen TensorFlow graph to an ONNX model: the steps of tf2onnx's `from_graph_def`, less what only costs.

tf2onnx copies the graph with all its weights before each of a dozen optimizers, in every round, to be able to go back
when one fails; it freezes once more what is frozen, and throws the result away. Here an optimizer that fails is left
out of a second attempt. That is a fifth of the time and a third of the memory for ResNet50.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from keras.src.export.tf2onnx_lib import patch_tf2onnx
from onnx import ModelProto
from tf2onnx import optimizer, tf_loader, tfonnx
from tf2onnx.graph import Node
from tf2onnx.handler import tf_op

from kedge_exporter.formats.onnx_handlers import handlers
from kedge_exporter.formats.onnx_handlers.rewriting import register
from kedge_exporter.formats.onnx_order import number_functions, ordered
from kedge_exporter.tables import Table

_SHAPES = "_output_shapes"
"""What TensorFlow calls the attribute of a node that holds the shapes of its outputs."""
_NOT_WANTED = frozenset({"einsum_optimizer"})
"""It takes an Einsum, for which onnxruntime has a kernel, apart into a dozen nodes that are slower and float32 only."""


@dataclass(frozen=True)
class Source:
    """What is converted.

    Attributes:
        graph_def: the frozen graph, with the shapes of its tensors; its functions are given other names.
        inputs: the names of its input tensors, handles of tables left out.
        outputs: the names of its output tensors.
        tables: the lookup tables that it reads.
    """

    graph_def: Any
    inputs: list[str]
    outputs: list[str]
    tables: tuple[Table, ...] = ()


class _OptimizerFailed(Exception):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


def to_onnx(source: Source, opset: int) -> ModelProto:
    """Run tf2onnx.

    Its logger, `tf2onnx`, gets an ERROR record for every node that it cannot convert; the model is made all the same.

    Raises:
        Exception: whatever tf2onnx raises.
    """
    patch_tf2onnx()  # for numpy 2; Keras does it lazily, only on the way of its own exporter
    graph_def = _folded(source)
    left_out = _NOT_WANTED
    own = dict(tf_op.create_mapping(opset, None))
    registered: dict[str, Any] = {op: (register(ours, own.get(op)), []) for op, ours in handlers(source.tables).items()}
    while True:
        with ordered(), _constants_as_they_are(), tf.device("/cpu:0"), tf.Graph().as_default() as tf_graph:
            tf.import_graph_def(graph_def, name="")
            graph = tfonnx.process_tf_graph(
                tf_graph,
                continue_on_error=True,
                opset=opset,
                custom_op_handlers=registered,
                input_names=source.inputs,
                output_names=source.outputs,
            )
            try:
                graph = _optimized(graph, left_out)
            except _OptimizerFailed as failed:
                left_out |= {failed.name}
                continue
            model: ModelProto = graph.make_model("")
            return model


def _folded(source: Source) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
    """The graph with its constant parts computed and its plain functions inlined, by TensorFlow's own optimizer."""
    number_functions(source.graph_def)
    with tf.device("/cpu:0"), tf.Graph().as_default():
        folded = tf_loader.tf_optimize(source.inputs, source.outputs, source.graph_def)
    # It forgets the shapes that only Python knew, such as those of what tables answer.
    known = {node.name: node for node in source.graph_def.node if _SHAPES in node.attr}
    for node in folded.node:
        before = known.get(node.name)
        if before is not None and before.op == node.op:
            node.attr[_SHAPES].CopyFrom(before.attr[_SHAPES])
    return folded


def _optimized(graph: Any, left_out: frozenset[str]) -> Any:  # noqa: ANN401
    """Run tf2onnx's optimizers, in its order, until none of them finds anything to do."""
    is_busy = True
    rounds = 0
    while is_busy:
        is_busy = False
        for name, factory in optimizer._get_optimizers().items():  # noqa: SLF001 (tf2onnx has no other list of them)
            if name in left_out:
                continue
            step = factory()
            try:
                graph = step.optimize(graph, rounds) or graph
            except Exception as error:  # an optimizer that does not know what it sees may raise anything
                raise _OptimizerFailed(name) from error
            is_busy = is_busy or step.graph_been_opt
        rounds += 1
    graph.topological_sort(graph.get_nodes())
    return graph


@contextmanager
def _constants_as_they_are() -> Iterator[None]:
    """While entered, tf2onnx copies no weights when it brings its nodes up to date; it reads them elsewhere."""
    update = Node.update_proto

    def update_all_but_constants(node: Any, external_tensor_storage: Any = None) -> None:  # noqa: ANN401
        if not node.is_const():
            update(node, external_tensor_storage)

    Node.update_proto = update_all_but_constants
    try:
        yield
    finally:
        Node.update_proto = update
