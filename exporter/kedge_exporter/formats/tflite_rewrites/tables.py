"""Lookup tables: a builtin hash table between words and numbers, a binary search from numbers to numbers."""

from typing import Any

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Rewrite, Tensor
from kedge_exporter.tables import Table

INITIALIZER = "kedge_fill_tables"
"""The node that fills the tables; LiteRT runs it once, before the first answer."""


def look_up(tables: tuple[Table, ...]) -> Rewrite:
    """How to write `LookupTableFindV2` for these tables."""
    by_name = {table.placeholder: table for table in tables}
    hashed = {table.placeholder for table in tables if _is_hashed(table)}

    def search(node: Node) -> Tensor:
        table = by_name.get(node.producers[0])
        if table is None:
            raise CannotRewrite("it stands in the body of a loop or a branch; look up before the loop")
        return _search(table, node.inputs[1], node.inputs[2])

    return Rewrite(search, lambda operation: operation.inputs[0].op.name not in hashed)


def put_tables(graph_def: Any, tables: tuple[Table, ...]) -> None:  # noqa: ANN401 (TensorFlow ships no types)
    """Put the tables themselves in the place of their handles, in the graph, with a node that fills them.

    The handles of tables that are searched are read by nobody any more, and are dropped.
    """
    hashed = {table.placeholder: table for table in tables if _is_hashed(table)}
    searched = {table.placeholder for table in tables} - hashed.keys()
    nodes = [node for node in graph_def.node if node.name not in searched | hashed.keys()]
    with tf.Graph().as_default() as graph:
        fillings = [_fill(table, f"kedge_table_{index}") for index, table in enumerate(hashed.values())]
        with tf.control_dependencies(fillings):
            tf.no_op(INITIALIZER)
    made = graph.as_graph_def().node if hashed else []
    handles = {f"kedge_table_{index}": name for index, name in enumerate(hashed)}
    for node in made:
        node.name = handles.get(node.name, node.name)
        node.input[:] = [handles.get(name, name) for name in node.input]
    del graph_def.node[:]
    graph_def.node.extend([*nodes, *made])


def _is_hashed(table: Table) -> bool:
    """Whether LiteRT's hash table takes it: int64 to words, or words to int64."""
    return {table.keys.dtype.kind, table.values.dtype.kind} == {"O", "i"}


def _fill(table: Table, name: str) -> Any:  # noqa: ANN401
    keys, values = (tf.constant(array.tolist(), _dtype(array)) for array in (table.keys, table.values))
    handle = tf.raw_ops.HashTableV2(key_dtype=keys.dtype, value_dtype=values.dtype, shared_name=name, name=name)
    return tf.raw_ops.LookupTableImportV2(table_handle=handle, keys=keys, values=values, name=f"{name}_fill")


def _dtype(array: Any) -> Any:  # noqa: ANN401
    return tf.string if array.dtype == object else tf.int64


def _search(table: Table, wanted: Tensor, default: Tensor) -> Tensor:
    """Binary search in the sorted keys: as many steps as their number has binary digits, for all values at once."""
    if table.keys.dtype == object:
        raise CannotRewrite("it turns words into words; look up before the request")
    size = len(table.keys)
    keys, values = (tf.constant(array.tolist(), _dtype(array)) for array in (table.keys, table.values))
    position = tf.zeros_like(wanted, tf.int32) - 1
    step = 1 << (size - 1).bit_length()
    while step:
        candidate = position + step
        is_smaller = tf.gather(keys, tf.minimum(candidate, size - 1)) <= wanted
        position = tf.where((candidate < size) & is_smaller, candidate, position)
        step //= 2
    found = tf.maximum(position, 0)
    return tf.where(tf.gather(keys, found) == wanted, tf.gather(values, found), default)
