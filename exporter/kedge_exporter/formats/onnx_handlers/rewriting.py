"""What every handler works with: one TensorFlow node, of which it makes ONNX nodes, or says why there are none."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tf2onnx import utils

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
_COMPLEX: dict[int, int] = {TensorProto.COMPLEX64: TensorProto.FLOAT, TensorProto.COMPLEX128: TensorProto.DOUBLE}


class NoOnnxForm(Exception):
    """ONNX cannot say what this node does.

    Attributes:
        advice: what to do about it, where the op alone does not tell.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        self.advice = advice
        super().__init__(reason)


Handler = Callable[["Rewriting"], "str | tuple[str, ...] | None"]
"""Makes ONNX nodes that compute the outputs of a TensorFlow node: the names of those tensors, in the node's order.

None leaves the node to tf2onnx. May raise `NoOnnxForm`.
"""


class Rewriting:
    """One TensorFlow node that is to be replaced.

    Attributes:
        node: the node, as tf2onnx has it.
        inputs: the names of the tensors that it reads.
        opset: the ONNX opset that the model may use.
    """

    def __init__(self, graph: Any, node: Any) -> None:  # noqa: ANN401 (tf2onnx ships no types)
        self._graph = graph
        self.node = node
        self.inputs: list[str] = list(node.input)
        self.opset: int = graph.opset

    def need_opset(self, opset: int) -> None:
        """Refuse where the model may not use an op that came with this opset.

        Raises:
            NoOnnxForm: the model's opset is older.
        """
        if self.opset < opset:
            raise NoOnnxForm(f"needs opset {opset}", f"--opset {opset}")

    def dtype(self, tensor: str) -> int:
        """The dtype of a tensor, in ONNX's numbers."""
        return int(self._graph.get_dtype(tensor))

    def numpy_dtype(self, tensor: str) -> np.dtype[Any]:
        """The dtype of a tensor, in numpy's words."""
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.dtype(tensor)))

    def shape(self, tensor: str) -> list[int] | None:
        """The shape as far as it is known: -1 where a size is open, None where the rank is."""
        shape = self._graph.get_shape(tensor)
        return None if shape is None else list(shape)

    def rank(self, tensor: str) -> int:
        """The rank of a tensor.

        Raises:
            NoOnnxForm: it is not known.
        """
        shape = self.shape(tensor)
        if shape is None:
            raise NoOnnxForm("reads a tensor of unknown rank", "give the model's inputs a shape")
        return len(shape)

    def attribute(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """An attribute of the TensorFlow node; strings come as bytes."""
        return self.node.get_attr_value(name, default)

    def value(self, position: int, meaning: str) -> NDArray[Any]:
        """The value of an input that must be a constant.

        Raises:
            NoOnnxForm: it is computed.
        """
        source = self.node.inputs[position]
        while source.type == "Identity":
            source = source.inputs[0]
        if not source.is_const():
            raise NoOnnxForm(f"has a form in ONNX only where {meaning} is a constant")
        return np.asarray(source.get_tensor_value(as_list=False))

    def constant(self, value: Any, dtype: Any = None) -> str:  # noqa: ANN401
        """A new constant tensor."""
        array = np.asarray(value, dtype)
        return str(self._graph.make_const(utils.make_name(f"{self.node.name}/constant"), array).output[0])

    def like(self, value: Any, tensor: str) -> str:  # noqa: ANN401
        """A new constant of the dtype of another tensor."""
        return self.constant(value, self.numpy_dtype(tensor))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        """A new ONNX node with one output: the name of that."""
        return self.add_many(op, 1, *inputs, **attributes)[0]

    def encode(self, tensor: str, gives: int, **attributes: Any) -> str:  # noqa: ANN401
        """A `LabelEncoder`, which looks keys up, in the shape of its input and the dtype `gives`."""
        (found,) = self.add_many("LabelEncoder", 1, tensor, domain="ai.onnx.ml", **attributes)
        self._graph.copy_shape(tensor, found)
        self._graph.set_dtype(found, gives)
        return found

    def add_many(self, op: str, outputs: int, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:  # noqa: ANN401
        """A new ONNX node with several outputs: the names of those."""
        made = self._graph.make_node(
            op,
            list(inputs),
            attr=attributes,
            output_count=outputs,
            name=utils.make_name(f"{self.node.name}/{op}"),
            domain=domain,
        )
        return [str(name) for name in made.output]

    def readers(self) -> list[Any]:
        """The nodes that read the outputs of this one; in the order of the graph, they are TensorFlow's still."""
        return [reader for output in self.node.output for reader in self._graph.find_output_consumers(output)]

    def cast_input(self, position: int, dtype: int) -> None:
        """Let the TensorFlow node itself read an input in another dtype."""
        made = self.cast(self.inputs[position], dtype)
        self._graph.replace_input(self.node, self.inputs[position], made, position)

    def cast(self, tensor: str, dtype: int) -> str:
        """The tensor in another dtype."""
        return tensor if self.dtype(tensor) == dtype else self.add("Cast", tensor, to=dtype)


def register(handler: Handler, otherwise: Any) -> Callable[[Any, Any, str, list[Any]], None]:  # noqa: ANN401
    """A handler as tf2onnx's `custom_op_handlers` take it.

    Args:
        handler: ours.
        otherwise: tf2onnx's own entry for the op, (function, keywords); None where it has none.
    """

    def replace(graph: Any, node: Any, _name: str, _arguments: list[Any]) -> None:  # noqa: ANN401
        made = handler(Rewriting(graph, node))
        if made is not None:
            _take_place(graph, node, (made,) if isinstance(made, str) else made)
        elif otherwise is None:
            raise NoOnnxForm("this form of it has none")
        else:
            function, keywords = otherwise
            if "onnx_op" in keywords:
                keywords = {**keywords, "tf_op": node.type}
                node.type = keywords["onnx_op"]
            function(graph, node, **keywords, initialized_tables={}, dequantize=False)

    return replace


def _take_place(graph: Any, node: Any, made: tuple[str, ...]) -> None:  # noqa: ANN401
    """Let new tensors stand for the outputs of a TensorFlow node; tf2onnx's optimizers remove the identities."""
    names, shapes, dtypes = list(node.output), node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    for tensor, name, shape, dtype in zip(made, names, shapes, dtypes, strict=True):
        if dtype in _COMPLEX:  # two floats along a last axis, see fourier.py
            shape, dtype = None if shape is None else [*shape, 2], _COMPLEX[dtype]  # noqa: PLW2901
        graph.make_node(
            "Identity", [tensor], name=utils.make_name(node.name), outputs=[name], shapes=[shape], dtypes=[dtype]
        )
