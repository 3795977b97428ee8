"""Replaces nodes of a frozen graph, wherever they stand: in the graph itself or in the functions that it calls.

A replaced node becomes a call of a function that holds its new form, so that neither its name nor its readers change;
the converter puts such functions in line. That works alike in the bodies of loops and branches.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

from kedge_exporter.formats.tflite_rewrites.constants import constant
from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Rewrite

_CALL = "PartitionedCall"


def replace_nodes(graph: Any, rewrites: Mapping[str, Rewrite]) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
    """The graph as a GraphDef, without the ops that `rewrites` knows a form for.

    Raises:
        CannotRewrite: a node has no such form.
    """
    graph_def = graph.as_graph_def()
    library = graph_def.library
    made: list[Any] = []
    if any(node.op in rewrites for node in graph_def.node):
        _replace_in(graph_def.node, graph, rewrites, made)
    for function in list(library.function):
        if any(node.op in rewrites for node in function.node_def):
            body = function_def_to_graph(function)
            changed = _replace_in(function.node_def, body, rewrites, made)
            _rename_readers(function, changed)
    library.function.extend(made)
    return graph_def


def _replace_in(nodes: Any, graph: Any, rewrites: Mapping[str, Rewrite], made: list[Any]) -> dict[str, str]:  # noqa: ANN401
    """Turn nodes into calls, in place; the new functions go into `made`. Node name -> what its output was called."""
    changed: dict[str, str] = {}
    for node in nodes:
        if node.op not in rewrites:
            continue
        operation = graph.get_operation_by_name(node.name)
        if not rewrites[node.op].applies(operation):
            continue
        function = _new_form(operation, rewrites[node.op], f"kedge_{node.op}_{len(made)}")
        changed[node.name] = operation.op_def.output_arg[0].name
        made.append(function)
        _make_call(node, operation, function.signature.name)
    return changed


def _new_form(operation: Any, rewrite: Rewrite, name: str) -> Any:  # noqa: ANN401
    """The function that computes what the operation does."""
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in operation.inputs if tensor.dtype != tf.resource]

    def form(*given: Any) -> Any:  # noqa: ANN401
        values = iter(given)
        node = Node(
            name=operation.name,
            inputs=tuple(None if tensor.dtype == tf.resource else next(values) for tensor in operation.inputs),
            constants=tuple(constant(tensor) for tensor in operation.inputs),
            producers=tuple(tensor.op.name for tensor in operation.inputs),
            attribute=operation.get_attr,
        )
        return rewrite.form(node)

    try:
        concrete = tf.function(form, autograph=False).get_concrete_function(*specs)
    except CannotRewrite as error:
        raise CannotRewrite(str(error), op=operation.type, node=operation.name) from error
    function = type(concrete.function_def)()
    function.CopyFrom(concrete.function_def)
    function.signature.name = name  # TensorFlow's own carries a counter of the process
    return function


def _make_call(node: Any, operation: Any, function: str) -> None:  # noqa: ANN401
    node.op = _CALL
    is_tensor = [tensor.dtype != tf.resource for tensor in operation.inputs]  # inputs that only order nodes come last
    node.input[:] = [name for index, name in enumerate(node.input) if index >= len(is_tensor) or is_tensor[index]]
    node.attr.clear()
    node.attr["f"].func.name = function
    for key, tensors in (("Tin", operation.inputs), ("Tout", operation.outputs)):
        types = [tensor.dtype.as_datatype_enum for tensor in tensors if tensor.dtype != tf.resource]
        node.attr[key].list.type.extend(types)


def _rename_readers(function: Any, changed: dict[str, str]) -> None:  # noqa: ANN401
    """Inside a function, tensors are called `node:output:0`; the output of a call is called `output`."""
    renamed = {f"{name}:{output}:0": f"{name}:output:0" for name, output in changed.items()}
    for node in function.node_def:
        node.input[:] = [renamed.get(tensor, tensor) for tensor in node.input]
    for name, tensor in function.ret.items():
        function.ret[name] = renamed.get(tensor, tensor)
