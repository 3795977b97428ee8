"""Division of integers and remainders: TensorFlow rounds down, ONNX's `Div` rounds towards zero."""

from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import FLOATS, Rewriting

_DIVISIBLE = (TensorProto.INT32, TensorProto.INT64)
"""The integers for which onnxruntime has `Sub` and `Div`."""


def floor_mod(new: Rewriting) -> str:
    """`FloorMod`: a remainder with the sign of the divisor."""
    x, y = new.inputs
    if new.dtype(x) not in FLOATS:
        return new.add("Mod", x, y)
    rest = new.add("Mod", x, y, fmod=1)
    zero = new.like(0, x)
    is_other_side = new.add("Xor", new.add("Less", rest, zero), new.add("Less", y, zero))
    is_to_move = new.add("And", is_other_side, new.add("Not", new.add("Equal", rest, zero)))
    return new.add("Where", is_to_move, new.add("Add", rest, y), rest)


def floor_div(new: Rewriting) -> str | None:
    """`FloorDiv` of integers; floats are left to tf2onnx."""
    x, y = new.inputs
    dtype = new.dtype(x)
    if dtype in FLOATS:
        return None
    if dtype not in _DIVISIBLE:
        x, y = new.cast(x, TensorProto.INT64), new.cast(y, TensorProto.INT64)
    return new.cast(divide_down(new, x, y), dtype)


def divide_down(new: Rewriting, x: str, y: str) -> str:
    """The quotient of two int32 or int64 tensors, rounded down: what the remainder leaves divides evenly."""
    return new.add("Div", new.add("Sub", x, new.add("Mod", x, y)), y)


def truncate_mod(new: Rewriting) -> str:
    """`Mod` and `TruncateMod`: a remainder with the sign of the dividend."""
    return new.add("Mod", *new.inputs, fmod=1)
