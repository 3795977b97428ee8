"""Counting the boundaries below a value: `Discretization`, `keras.ops.digitize` and `searchsorted`."""

from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import Rewriting


def bucketize(new: Rewriting) -> str:
    """`Bucketize`: how many boundaries are not above the value; a NaN is above all of them."""
    (x,) = new.inputs
    if not new.attribute("boundaries", []):
        return new.add("Expand", new.constant(0, "int32"), new.add("Shape", x))
    dtype = TensorProto.DOUBLE if new.dtype(x) == TensorProto.DOUBLE else TensorProto.FLOAT
    boundaries = new.constant(new.attribute("boundaries", []), "float64" if dtype == TensorProto.DOUBLE else "float32")
    values = new.add("Unsqueeze", new.cast(x, dtype), new.constant([-1], "int64"))
    return _count(new, new.add("Not", new.add("Less", values, boundaries)))


def lower_bound(new: Rewriting) -> str:
    """`LowerBound(sorted, values)`, both of two axes: how many of a row's sorted entries are below each value."""
    entries, values = _side_by_side(new)
    return _count(new, new.add("Less", entries, values))


def upper_bound(new: Rewriting) -> str:
    """`UpperBound(sorted, values)`: how many of a row's sorted entries are not above each value."""
    entries, values = _side_by_side(new)
    return _count(new, new.add("Not", new.add("Less", values, entries)))


def _side_by_side(new: Rewriting) -> tuple[str, str]:
    entries, values = new.inputs
    return (
        new.add("Unsqueeze", entries, new.constant([1], "int64")),
        new.add("Unsqueeze", values, new.constant([2], "int64")),
    )


def _count(new: Rewriting, claims: str) -> str:
    """How many claims hold along the last axis."""
    dtype = new.dtype(new.node.output[0])
    return new.add("ReduceSum", new.add("Cast", claims, to=dtype), new.constant([-1], "int64"), keepdims=0)
