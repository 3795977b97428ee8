"""`Erfc`: the complement of the error function; the exact form of gelu uses it."""

from kedge_exporter.formats.onnx_handlers.rewriting import Rewriting


def erfc(new: Rewriting) -> str:
    """`Erfc(x) = 1 - Erf(x)`."""
    (x,) = new.inputs
    return new.add("Sub", new.like(1, x), new.add("Erf", x))
