"""Vectors and ranks along the last axis: `Cross`, `InTopKV2`, and running products of integers."""

import numpy as np
from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import FLOATS, Rewriting


def cross(new: Rewriting) -> str:
    """`Cross`, of vectors of three along the last axis."""
    a, b = new.inputs
    forth, back = new.constant([1, 2, 0], "int64"), new.constant([2, 0, 1], "int64")
    rotated = {(name, turn): new.add("Gather", name, turn, axis=-1) for name in (a, b) for turn in (forth, back)}
    return new.add(
        "Sub",
        new.add("Mul", rotated[a, forth], rotated[b, back]),
        new.add("Mul", rotated[a, back], rotated[b, forth]),
    )


def in_top_k(new: Rewriting) -> str:
    """`InTopKV2(predictions, targets, k)`: false where a number of the row is not finite, or there is no such class."""
    predictions, targets, k = new.inputs
    last = new.constant([-1], "int64")
    targets = new.cast(targets, TensorProto.INT64)
    classes = new.add("Gather", new.add("Shape", predictions), new.constant(1, "int64"))
    zero = new.constant(0, "int64")
    is_class = new.add("And", new.add("Less", targets, classes), new.add("Not", new.add("Less", targets, zero)))
    column = new.add("Unsqueeze", new.add("Where", is_class, targets, zero), last)
    score = new.add("GatherElements", predictions, column, axis=1)
    better = new.add("Cast", new.add("Greater", predictions, score), to=TensorProto.INT64)
    is_in = new.add("Less", new.add("ReduceSum", better, last, keepdims=0), new.cast(k, TensorProto.INT64))
    # x - x is 0 for what is finite and NaN for what is not.
    rest = new.add("ReduceSum", new.add("Sub", predictions, predictions), last, keepdims=0)
    is_finite = new.add("Equal", rest, new.like(0, predictions))
    return new.add("And", is_in, new.add("And", is_class, is_finite))


def cumprod(new: Rewriting) -> str | None:
    """`Cumprod` of integers along an axis of known length; all else is left to tf2onnx."""
    x = new.inputs[0]
    shape = new.shape(x)
    is_odd = new.attribute("exclusive", 0) or new.attribute("reverse", 0) or not new.node.inputs[1].is_const()
    if new.dtype(x) in FLOATS or shape is None or is_odd:
        return None
    axis = int(new.value(1, "the axis")) % len(shape)
    if shape[axis] < 0:
        return None
    step = 1
    while step < shape[axis]:  # every round multiplies by what stands `step` before: Hillis and Steele, 1986
        pads = np.zeros((2, len(shape)), np.int64)
        pads[0, axis] = step
        before = new.add("Pad", x, new.constant(pads.ravel()), new.like(1, x))
        end = new.constant([shape[axis]], "int64")
        cut = new.add("Slice", before, new.constant([0], "int64"), end, new.constant([axis], "int64"))
        x = new.add("Mul", x, cut)
        step *= 2
    return x
