"""How to write, in ONNX, the TensorFlow ops that tf2onnx does not know."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

Handler = tuple[Callable[..., None], list[Any]]
"""A function of (graph, node, name, arguments), as `custom_op_handlers` of tf2onnx takes them."""


def _erfc(graph: Any, node: Any, name: str, _arguments: list[Any]) -> None:  # noqa: ANN401 (tf2onnx ships no types)
    """`Erfc(x) = 1 - Erf(x)`; the exact form of gelu uses it."""
    dtype = _DTYPES.get(graph.get_dtype(node.output[0]), np.float32)
    one = graph.make_const(f"{name}/one", np.array(1, dtype))
    erf = node.output[0]
    node.type = "Erf"
    difference = graph.insert_new_node_on_output("Sub", erf, inputs=[one.output[0], erf], name=f"{name}/complement")
    graph.copy_shape(erf, difference.output[0])
    graph.copy_dtype(erf, difference.output[0])


_DTYPES: dict[int, type[np.floating[Any]]] = {TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64}
"""tf2onnx keeps dtypes in ONNX's numbers."""

HANDLERS: dict[str, Handler] = {"Erfc": (_erfc, [])}
"""TensorFlow op -> its handler."""
