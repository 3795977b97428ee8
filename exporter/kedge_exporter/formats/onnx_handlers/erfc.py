"""`Erfc`: the complement of the error function; the exact form of gelu uses it."""

from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import NoOnnxForm, Rewriting


def erfc(new: Rewriting) -> str:
    """`Erfc(x) = 1 - Erf(x)`."""
    (x,) = new.inputs
    if new.dtype(x) == TensorProto.DOUBLE:
        raise NoOnnxForm("is not known to onnxruntime in float64", "compute it in float32")
    return new.add("Sub", new.like(1, x), new.add("Erf", x))
