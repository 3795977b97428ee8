"""Comparing strings: before opset 19, ONNX compares numbers only; a constant string is a table of one entry."""

from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import NoOnnxForm, Rewriting


def equal(new: Rewriting) -> str | None:
    """`Equal` of strings; numbers are left to tf2onnx."""
    return _equals_constant(new) if new.dtype(new.inputs[0]) == TensorProto.STRING else None


def not_equal(new: Rewriting) -> str | None:
    """`NotEqual` of strings; numbers are left to tf2onnx."""
    return new.add("Not", _equals_constant(new)) if new.dtype(new.inputs[0]) == TensorProto.STRING else None


def _equals_constant(new: Rewriting) -> str:
    """Whether strings equal the one constant string that they are compared with."""
    for tensor, other in ((0, 1), (1, 0)):
        if new.node.inputs[other].is_const():
            word = new.value(other, "one of the two")
            if word.size == 1:
                table = {"keys_strings": [word.item()], "values_int64s": [1], "default_int64": 0}
                return new.cast(new.encode(new.inputs[tensor], TensorProto.INT64, **table), TensorProto.BOOL)
    raise NoOnnxForm(
        "compares computed strings with each other, for which ONNX has no form before opset 19",
        "compare with a constant only, or look the strings up and compare the indices",
    )
