"""Bits: the sign bit of a float, which `keras.ops.argmax` and `signbit` ask for, and shifts of int64."""

from typing import Any

import numpy as np
from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.division import divide_down
from kedge_exporter.formats.onnx_handlers.rewriting import FLOATS, NoOnnxForm, Rewriting


def bitcast(new: Rewriting) -> str:
    """`Bitcast` of a float of which only the sign bit is read: -1 where it is set, 0 elsewhere.

    The sign of a NaN has no form in ONNX; it counts as positive.
    """
    (x,) = new.inputs
    if new.dtype(x) not in FLOATS or not all(_reads_sign(reader) for reader in new.readers()):
        raise NoOnnxForm("has a form in ONNX only where it reads the sign of a float")
    zero = new.like(0, x)
    is_minus_zero = new.add("And", new.add("Equal", x, zero), new.add("Less", new.add("Reciprocal", x), zero))
    is_negative = new.add("Or", new.add("Less", x, zero), is_minus_zero)
    return new.cast(new.add("Neg", new.add("Cast", is_negative, to=TensorProto.INT32)), new.dtype(new.node.output[0]))


def _reads_sign(reader: Any) -> bool:  # noqa: ANN401 (tf2onnx ships no types)
    """Whether a node asks for `< 0`, or masks the sign bit and everything that reads that asks for `< 0`."""
    if len(reader.inputs) <= 1 or not reader.inputs[1].is_const():
        return False
    other = reader.inputs[1].get_tensor_value(as_list=False)
    if reader.type == "BitwiseAnd" and (other == np.iinfo(other.dtype).min).all():
        return all(_reads_sign(next_one) for next_one in reader.graph.find_output_consumers(reader.output[0]))
    return reader.type == "Less" and bool((other == 0).all())


def left_shift(new: Rewriting) -> str | None:
    """`LeftShift` of int64, for which tf2onnx has no unsigned twin."""
    if new.dtype(new.inputs[0]) != TensorProto.INT64:
        return None
    return new.add("Mul", new.inputs[0], _power_of_two(new))


def right_shift(new: Rewriting) -> str | None:
    """`RightShift` of int64: the sign bit comes in from the left, which is division rounded down."""
    if new.dtype(new.inputs[0]) != TensorProto.INT64:
        return None
    return divide_down(new, new.inputs[0], _power_of_two(new))


def _power_of_two(new: Rewriting) -> str:
    return new.add("Pow", new.constant(2, "int64"), new.inputs[1])
