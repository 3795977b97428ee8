"""Choosing between two tensors: tf2onnx multiplies by 0 and 1 and adds, which turns infinities that lose into NaN."""

from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import Rewriting

_DIRECT = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.STRING,
)
"""What onnxruntime's `Where` takes; other integers and booleans travel as int64."""


def select(new: Rewriting) -> str:
    """`SelectV2(condition, x, y)`, which broadcasts as ONNX's `Where` does."""
    condition, x, y = new.inputs
    dtype = new.dtype(x)
    if dtype in _DIRECT:
        return new.add("Where", condition, x, y)
    wide = [new.cast(tensor, TensorProto.INT64) for tensor in (x, y)]
    return new.cast(new.add("Where", condition, *wide), dtype)
