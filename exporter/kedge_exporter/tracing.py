"""From a Keras model to one frozen TensorFlow graph, from which every format is converted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from kedge_bundle.signature import Signature, TensorSpec
from kedge_exporter.calling import functions_inlined
from kedge_exporter.culprit.calls import LayerCall, recorded
from kedge_exporter.errors import ModelRefused
from kedge_exporter.formats import check_size
from kedge_exporter.keras_model import LoadedModel, describe
from kedge_exporter.naming import argument_names
from kedge_exporter.precision import in_precision
from kedge_exporter.tables import Table, tables_of

_LOOPS = {"While", "StatelessWhile"}
"""Freezing takes the weights out of what they carry round, and their outputs move up."""
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_HEADS = {"Softmax", "Sigmoid"}
_BRANCHES = {"If", "StatelessIf", "Case", "StatelessCase"}
"""With those of `_CALLS` and `_LOOPS`, what keeps its ops in functions of their own."""
_PASSING = {"Const", "Placeholder", "Cast", "Identity"}


@dataclass(frozen=True)
class Function:
    """A graph between its inputs and its outputs.

    Attributes:
        graph: a `tf.Graph`.
        inputs: its placeholders.
        outputs: its tensors.
    """

    graph: Any
    inputs: list[Any]
    outputs: list[Any]


@dataclass(frozen=True)
class Frozen:
    """A graph without variables.

    Attributes:
        function: the graph, from the placeholders of the model's inputs and the handles of its tables to its answers.
        signature: names, dtypes and shapes as traced; the batch may be fixed.
        arguments: Keras input name -> name of the placeholder.
        output_order: Keras output names in the order in which `function` answers.
        layers: the name of every layer -> its class; nodes of the graph stand in the scopes of their layers.
        tables: the lookup tables that the graph reads; their contents are not part of it.
        with_batch: the same model traced for a fixed number of rows.
        inlined: the same model traced without functions that TensorFlow would compile apart.
        in_float32: the same model with the same inputs and outputs, computing in float32 between them; raises
            `CannotRebuild` where it does not.
        calls: the calls of its layers, in the order in which they ended, with their answers' names in the graph.
    """

    function: Function
    signature: Signature
    arguments: dict[str, str]
    output_order: tuple[str, ...]
    layers: dict[str, str]
    tables: tuple[Table, ...]
    with_batch: Callable[[int], "Frozen"]
    inlined: Callable[[], "Frozen"]
    in_float32: Callable[[], "Frozen"]
    calls: tuple[LayerCall, ...] = ()

    @property
    def batch(self) -> int | None:
        """The rows of every run; None when any number will do."""
        return self.signature.fixed_batch

    @property
    def ops(self) -> set[str]:
        """The types of its operations, of the graph itself; read from it, since a GraphDef is a copy of all weights."""
        return {operation.type for operation in self.function.graph.get_operations()}

    @property
    def calls_functions(self) -> bool:
        """Whether parts of it stand in functions of their own, which TensorFlow would compile apart."""
        return not self.ops.isdisjoint(_CALLS)

    @property
    def may_have_heads(self) -> bool:
        """Whether an output may end in a softmax or a sigmoid: some op is one, or may hold one."""
        return not self.ops.isdisjoint({*_HEADS, *_CALLS, *_LOOPS, *_BRANCHES})

    @property
    def precisions(self) -> set[str]:
        """The dtypes of floats that it computes in; what is only held, or passes a cast, does not count."""
        operations = self.function.graph.get_operations()
        computed = {tensor.dtype for found in operations if found.type not in _PASSING for tensor in found.outputs}
        return {dtype.name for dtype in computed if dtype.is_floating}


def trace(loaded: LoadedModel, batch: int | None = None, *, is_inlined: bool = False) -> Frozen:
    """Trace the model as it behaves at inference, on the CPU, and put its weights into the graph.

    Args:
        loaded: the model.
        batch: rows to fix the batch axis to; the model's own when None.
        is_inlined: whether functions that TensorFlow compiles apart (grouped convolutions) become plain ops.

    Raises:
        ModelRefused: the model cannot be traced, or reads what is neither a weight nor a table that it tracks.
        FormatImpossible: its weights are too large for any format that is made from one graph.
    """
    check_size(loaded.weight_bytes)
    signature = _with_batch(loaded.signature, batch)
    arguments = argument_names(signature.input_names)
    names = signature.output_names

    def serve(tensors: list[Any]) -> dict[str, Any]:
        # Layers that draw numbers count their draws, some at inference as well (a recurrent dropout, MixUp). Nothing
        # reads what they draw, and a frozen graph has nowhere to count.
        with keras.StatelessScope():
            answers = loaded.call(tensors)
        return dict(zip(names, answers, strict=True))

    specs = [tf.TensorSpec(s.shape, tf.as_dtype(s.dtype), name=arguments[s.name]) for s in signature.inputs]
    try:
        with tf.device("/CPU:0"), functions_inlined(are_inlined=is_inlined), recorded() as recording:
            traced = tf.function(serve, autograph=False).get_concrete_function(specs)
        function = _frozen(traced)
    except Exception as error:  # tracing runs the model's code, which may raise anything
        raise ModelRefused(f"the model cannot be traced into a graph: {describe(error)}") from error
    outputs = tuple(_traced_spec(spec, traced.structured_outputs[spec.name]) for spec in signature.outputs)
    return Frozen(
        function=function,
        signature=Signature(inputs=signature.inputs, outputs=outputs),
        arguments=arguments,
        output_order=tuple(tf.nest.flatten({name: name for name in names})),
        layers={layer.name: type(layer).__name__ for layer in loaded.layers()},
        tables=tables_of(traced, function, loaded.model),
        with_batch=lambda rows: trace(loaded, rows, is_inlined=is_inlined),
        inlined=lambda: trace(loaded, batch, is_inlined=True),
        in_float32=lambda: trace(in_precision(loaded, "float32"), batch, is_inlined=is_inlined),
        calls=recording.within(traced.graph, _kept(function.graph)),
    )


def in_one_graph(loaded: LoadedModel) -> LoadedModel:
    """The same model, answering from its traced graph: faster, and without keeping every layer's answer to the end.

    Raises:
        ModelRefused: it cannot be traced.
    """
    specs = [tf.TensorSpec(spec.shape, tf.as_dtype(spec.dtype)) for spec in loaded.signature.inputs]

    def serve(tensors: list[Any]) -> list[Any]:
        with keras.StatelessScope():  # as in `trace`
            return loaded.call(tensors)

    try:
        with tf.device("/CPU:0"), functions_inlined():
            traced = tf.function(serve, autograph=False).get_concrete_function(specs)
    except Exception as error:
        raise ModelRefused(f"the model cannot be traced into a graph: {describe(error)}") from error

    def call(tensors: list[Any]) -> list[Any]:
        with _unoptimized():
            answers: list[Any] = traced(tensors)
        return answers

    return replace(loaded, call=call)


@contextmanager
def _unoptimized() -> Iterator[None]:
    """While entered, TensorFlow runs graphs op by op, as they were traced.

    Joined with what follows it, a grouped convolution has no kernel on the CPU.
    """
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **before})


def _kept(frozen: Any) -> frozenset[str]:  # noqa: ANN401 (TensorFlow ships no types)
    """The names of the operations that answer what they did before freezing."""
    return frozenset(operation.name for operation in frozen.get_operations() if operation.type not in _LOOPS)


def _frozen(traced: Any) -> Function:  # noqa: ANN401 (TensorFlow ships no types)
    """The graph of a concrete function with its variables as constants.

    What `convert_variables_to_constants_v2` does, less its last step: it would make a function of the graph again,
    which copies all weights ten times more.
    """
    # Lowered control flow gives recurrent networks ONNX files that do not load.
    converted = convert_to_constants._FunctionConverterDataInEager(  # noqa: SLF001 (no public way stops there)
        func=traced, lower_control_flow=False, aggressive_inlining=False
    )
    graph_def, constants = convert_to_constants._replace_variables_by_constants(converted)  # noqa: SLF001
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    captured = {id(traced.graph.internal_captures[index]) for index in constants}
    inputs = [tensor for tensor in traced.inputs if id(tensor) not in captured]
    for tensor in inputs:
        graph.get_tensor_by_name(tensor.name).set_shape(tensor.shape)
    _keep_shapes(traced.graph, graph)
    return Function(
        graph,
        [graph.get_tensor_by_name(tensor.name) for tensor in inputs],
        [graph.get_tensor_by_name(tensor.name) for tensor in traced.outputs],
    )


def _keep_shapes(traced: Any, frozen: Any) -> None:  # noqa: ANN401 (TensorFlow ships no types)
    """Tell a frozen graph the shapes that only the Python code of an op knew, such as that of a table's answers."""
    known = {operation.name: operation for operation in traced.get_operations()}
    for operation in frozen.get_operations():
        before = known.get(operation.name)
        if before is not None and before.type == operation.type and operation.type not in _LOOPS:
            for tensor, same in zip(operation.outputs, before.outputs, strict=True):
                # A loop that carried the handle of a weight carries its value in the frozen graph.
                if same.dtype == tensor.dtype:
                    tensor.set_shape(same.shape)


def _with_batch(signature: Signature, batch: int | None) -> Signature:
    if batch is None:
        return signature
    inputs = tuple(spec.model_copy(update={"shape": (batch, *spec.shape[1:])}) for spec in signature.inputs)
    return Signature(inputs=inputs, outputs=signature.outputs)


def _traced_spec(spec: TensorSpec, tensor: Any) -> TensorSpec:  # noqa: ANN401
    """The output's shape as the graph knows it; where it knows no rank, that of the answer."""
    if tensor.shape.rank is None:
        return spec
    return spec.model_copy(update={"shape": tuple(tensor.shape.as_list())})
