"""`OneHot`: ONNX counts a negative index from the end and TensorFlow has no such row; here indices are compared."""

import numpy as np
from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import Rewriting


def one_hot(new: Rewriting) -> str | None:
    """Any dtype and axis; a depth that is computed is left to tf2onnx."""
    if not new.node.inputs[1].is_const():
        return None
    indices, on, off = new.inputs[0], new.inputs[2], new.inputs[3]
    rank = new.rank(indices)
    axis = int(new.attribute("axis", -1)) % (rank + 1)
    sizes = [1] * (rank + 1)
    sizes[axis] = -1
    rows = np.arange(int(new.value(1, "the depth"))).reshape(sizes)
    wide = new.add("Unsqueeze", new.cast(indices, TensorProto.INT64), new.constant([axis], "int64"))
    is_on = new.add("Equal", wide, new.constant(rows, "int64"))
    dtype = new.dtype(new.node.output[0])
    if _is_plain(new):
        return new.cast(is_on, dtype)
    return new.add("Where", is_on, on, off)


def _is_plain(new: Rewriting) -> bool:
    """Whether the values are 1 and 0, or true and false."""
    if not all(new.node.inputs[position].is_const() for position in (2, 3)):
        return False
    return bool(new.value(2, "on") == 1) and bool(new.value(3, "off") == 0)
