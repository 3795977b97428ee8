"""The lookup tables behind a traced graph: freezing keeps weights, but leaves a table as an input that nobody feeds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.python.checkpoint.graph_view import ObjectGraphView
from tensorflow.python.framework import dtypes
from tensorflow.python.ops.lookup_ops import LookupInterface

from kedge_exporter.errors import ModelRefused


@dataclass(frozen=True)
class Table:
    """One table, as the frozen graph reads it.

    Attributes:
        placeholder: the node of the frozen graph that stands for the table's handle.
        keys: shape (size,), int64 or bytes objects, sorted.
        values: shape (size,), one for every key.
        default: what an unknown key becomes: an int or bytes.
        resource: the TensorFlow table itself, for formats that carry TensorFlow objects.
    """

    placeholder: str
    keys: NDArray[Any]
    values: NDArray[Any]
    default: object
    resource: Any


def tables_of(traced: Any, function: Any, model: Any) -> tuple[Table, ...]:  # noqa: ANN401 (TensorFlow ships no types)
    """The tables that a frozen function takes as inputs, in the order of its inputs.

    Args:
        traced: the concrete function before freezing; it knows which table each of its inputs was.
        function: the frozen function.
        model: the Keras model, which tracks the tables.

    Raises:
        ModelRefused: the model reads something that is neither a weight nor a table that it tracks.
    """
    handles = [tensor for tensor in function.inputs if tensor.dtype == dtypes.resource]
    if not handles:
        return ()
    captured = {inside.op.name: outside for outside, inside in traced.graph.captures}
    tracked = {id(found.resource_handle): found for found in _tracked(model)}
    return tuple(_table(handle.op.name, tracked.get(id(captured.get(handle.op.name)))) for handle in handles)


def _tracked(model: Any) -> list[Any]:  # noqa: ANN401
    found, _ = ObjectGraphView(model).breadth_first_traversal()
    return [entry for entry in found if isinstance(entry, LookupInterface)]


def _table(placeholder: str, resource: Any) -> Table:  # noqa: ANN401
    if resource is None:
        raise ModelRefused(
            f"'{placeholder}' reads a resource that is neither a weight nor a lookup table of a layer; a layer that "
            "looks up in a table must keep it as an attribute"
        )
    keys, values = (tensor.numpy() for tensor in resource.export())
    order = np.argsort(keys, kind="stable")  # a hash table lists its entries in another order in every process
    default = np.asarray(resource._default_value)  # noqa: SLF001 (only the immutable ones have a property for it)
    if values.ndim != 1 or default.ndim:
        raise ModelRefused(
            f"'{placeholder}' reads a table with values of the shape {list(values.shape[1:])}; expected one value for "
            "each key: look up an index, and gather the row of a weight"
        )
    return Table(placeholder, keys[order], values[order], default.item(), resource)
