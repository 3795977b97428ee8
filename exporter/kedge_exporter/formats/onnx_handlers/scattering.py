"""Adding up what goes to the same place: scatters, segments and counts; ONNX adds up since opset 16."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import Handler, Rewriting

_ADDS, _COMPARES = 16, 18
"""The opsets since which ONNX scatters with a sum or product, and with the largest or smallest."""


def scatter_nd(new: Rewriting) -> str:
    """`ScatterNd(indices, updates, shape)`: onto zeros; what meets is added."""
    new.need_opset(_ADDS)
    indices, updates, shape = new.inputs
    zeros = new.add("Expand", new.like(0, updates), new.cast(shape, TensorProto.INT64))
    return new.add("ScatterND", zeros, new.cast(indices, TensorProto.INT64), updates, reduction="add")


def tensor_scatter_add(new: Rewriting) -> str:
    """`TensorScatterAdd(tensor, indices, updates)`."""
    new.need_opset(_ADDS)
    tensor, indices, updates = new.inputs
    return new.add("ScatterND", tensor, new.cast(indices, TensorProto.INT64), updates, reduction="add")


def unsorted_segment(reduction: str) -> Handler:
    """The handler of `UnsortedSegmentSum` (add), `-Prod` (mul), `-Max` (max) or `-Min` (min)."""

    def reduce(new: Rewriting) -> str:
        new.need_opset(_ADDS if reduction in {"add", "mul"} else _COMPARES)
        data, given, count = new.inputs
        ids, count = new.cast(given, TensorProto.INT64), new.cast(count, TensorProto.INT64)
        one, zero = new.constant([1], "int64"), new.constant([0], "int64")
        rows = new.add("Reshape", count, one)
        # Rows of negative segments are dropped: they go to one row more, which is cut off.
        ids = new.add("Where", new.add("Less", ids, zero), rows, ids)
        rest = new.add("Slice", new.add("Shape", data), new.constant([new.rank(given)], "int64"),
                       new.constant([np.iinfo(np.int32).max], "int64"))  # fmt: skip
        shape = new.add("Concat", new.add("Add", rows, one), rest, axis=0)
        start = new.add("Expand", new.like(_neutral(reduction, new.numpy_dtype(data)), data), shape)
        places = new.add("Unsqueeze", ids, new.constant([-1], "int64"))
        reduced = new.add("ScatterND", start, places, data, reduction=reduction)
        return new.add("Slice", reduced, zero, rows, zero)

    return reduce


def _neutral(reduction: str, dtype: np.dtype[Any]) -> NDArray[Any] | int:
    """What an empty segment holds."""
    if reduction in {"add", "mul"}:
        return int(reduction == "mul")
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.asarray(limits.min if reduction == "max" else limits.max, dtype)


def dense_bincount(new: Rewriting) -> str | None:
    """`DenseBincount(input, size, weights)`: how often each number comes in a row; larger ones than `size` are dropped.

    Before opset 16, and for a size that depends on the input, it is left to tf2onnx.
    """
    numbers, _, weights = new.inputs
    size = _constant_size(new.node.inputs[1])
    if new.opset < _ADDS or size is None:
        return None
    numbers = new.cast(numbers, TensorProto.INT64)
    limit = new.constant(size, "int64")
    places = new.add("Min", numbers, limit)  # one column more for those that are dropped
    ones = new.add("Expand", new.like(1, weights), new.add("Shape", places))
    has_weights = not (new.node.inputs[2].is_const() and new.value(2, "the weights").size == 0)
    last = new.constant([size + 1], "int64")
    rows = new.add("Slice", new.add("Shape", places), new.constant([0], "int64"), new.constant([-1], "int64"))
    zeros = new.add("Expand", new.like(0, weights), new.add("Concat", rows, last, axis=0))
    if new.attribute("binary_output", 0):
        counted = new.add("ScatterElements", zeros, places, ones, axis=-1)
    else:
        counted = new.add("ScatterElements", zeros, places, weights if has_weights else ones, axis=-1, reduction="add")
    return new.add(
        "Slice", counted, new.constant([0], "int64"), new.constant([size], "int64"), new.constant([-1], "int64")
    )


def _constant_size(source: Any) -> int | None:  # noqa: ANN401 (tf2onnx ships no types)
    """A size that is a constant, or between two equal ones, as `tf.math.bincount` writes what Keras asks for."""
    if source.is_const():
        return int(source.get_tensor_value(as_list=False))
    if source.type in {"Cast", "Identity"}:
        return _constant_size(source.inputs[0])
    most, rest = _bound(source, {"Min", "Minimum"})
    least, _ = _bound(rest, {"Max", "Maximum"}) if rest is not None else (None, None)
    return most if most == least else None


def _bound(source: Any, types: set[str]) -> tuple[int | None, Any]:  # noqa: ANN401
    """The constant of a minimum or maximum of two, and the node of the other one, behind casts."""
    while source.type in {"Cast", "Identity"}:
        source = source.inputs[0]
    if source.type not in types or len(source.inputs) != 2:  # noqa: PLR2004 (of two)
        return None, None
    for mine, other in (source.inputs, reversed(source.inputs)):
        if mine.is_const():
            return int(mine.get_tensor_value(as_list=False)), other
    return None, None


def dynamic_update_slice(new: Rewriting) -> str:
    """`XlaDynamicUpdateSlice(tensor, update, starts)`: a start that would leave the tensor is moved back."""
    tensor, update, given = new.inputs
    rank = new.rank(update)
    shape = new.add("Shape", update)
    most = new.add("Sub", new.add("Shape", tensor), shape)
    zero = new.constant(0, "int64")
    starts = new.add("Max", new.add("Min", new.cast(given, TensorProto.INT64), most), zero)
    grids = []
    for axis in range(rank):
        index = new.constant(axis, "int64")
        steps = new.add("Range", zero, new.add("Gather", shape, index), new.constant(1, "int64"))
        places = new.add("Add", steps, new.add("Gather", starts, index))
        sizes = [1] * rank + [1]
        sizes[axis] = -1
        spread = new.add("Concat", shape, new.constant([1], "int64"), axis=0)
        grids.append(new.add("Expand", new.add("Reshape", places, new.constant(sizes, "int64")), spread))
    places = grids[0] if rank == 1 else new.add("Concat", *grids, axis=-1)
    return new.add("ScatterND", tensor, places, update)
