"""What a TFLite file says of itself: its ops, how its weights are kept, and the oldest LiteRT that runs it."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from ai_edge_litert import schema_py_generated as schema

_SMALL = {schema.TensorType.INT8, schema.TensorType.FLOAT16}
_FLOAT = {schema.TensorType.FLOAT32, schema.TensorType.FLOAT64}
_RUNTIME = "min_runtime_version"
_PER_CHANNEL_DENSE = "2.17.0"
_OP_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_WITH_BODIES = {"WHILE", "IF"}
_BETWEEN = {"QUANTIZE", "DEQUANTIZE"}


@dataclass(frozen=True)
class TfliteFile:
    """A TFLite file, read as data."""

    content: bytes

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401 (the schema's module ships no types)
        return schema.ModelT.InitFromPackedBuf(self.content, 0)

    @property
    def ops(self) -> tuple[str, ...]:
        """The names of the builtin ops, sorted."""
        return tuple(sorted({self._op(operator) for graph in self._model.subgraphs for operator in graph.operators}))

    @property
    def float_ops(self) -> tuple[str, ...]:
        """The ops that compute in floating point, sorted; the casts between the two are none."""
        return tuple(
            sorted(
                {
                    self._op(operator)
                    for graph in self._model.subgraphs
                    for operator in graph.operators
                    if any(graph.tensors[index].type in _FLOAT for index in operator.outputs if index >= 0)
                }
                - _BETWEEN
            )
        )

    @property
    def has_loops(self) -> bool:
        """Whether there is a loop or a branch, whose body is a graph of its own."""
        return not _WITH_BODIES.isdisjoint(self.ops)

    @property
    def has_strings(self) -> bool:
        """Whether any tensor holds strings."""
        return any(t.type == schema.TensorType.STRING for graph in self._model.subgraphs for t in graph.tensors)

    @property
    def small_share(self) -> float:
        """The share of the values of weights that stand in 8 or 16 bits; biases (vectors) do not count as small."""
        small = wide = 0
        for graph in self._model.subgraphs:
            for tensor in graph.tensors:
                size = prod(map(int, tensor.shape)) if tensor.shape is not None else 1
                if not self._has_values(tensor):
                    continue
                if tensor.type in _SMALL and len(tensor.shape) > 1:
                    small += size
                elif tensor.type in _FLOAT:
                    wide += size
        return small / (small + wide) if small else 0.0

    @property
    def min_runtime(self) -> str | None:
        """The oldest TensorFlow Lite that runs the file rightly; None where nothing says it.

        The converter's own word forgets one thing: a Dense of int8 whose scales differ by channel has the version of
        one with a single scale, and interpreters before 2.17 take the first scale for all, without a word
        (https://github.com/tensorflow/tflite-micro/pull/2602).
        """
        known = [
            bytes(self._model.buffers[entry.buffer].data).rstrip(b"\0").decode("ascii")
            for entry in self._model.metadata or ()
            if _text(entry.name) == _RUNTIME
        ]
        if self._has_per_channel_dense:
            known.append(_PER_CHANNEL_DENSE)
        return max(filter(None, known), key=_as_numbers, default=None)

    @property
    def _has_per_channel_dense(self) -> bool:
        return any(
            len(_scales(graph.tensors[operator.inputs[1]])) > 1
            for graph in self._model.subgraphs
            for operator in graph.operators
            if self._op(operator) == "FULLY_CONNECTED"
        )

    def _op(self, operator: Any) -> str:  # noqa: ANN401
        code = self._model.operatorCodes[operator.opcodeIndex]
        return str(_OP_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)])

    def _has_values(self, tensor: Any) -> bool:  # noqa: ANN401
        data = self._model.buffers[tensor.buffer].data
        return tensor.shape is not None and data is not None and len(data) > 0


def _scales(tensor: Any) -> Any:  # noqa: ANN401
    """The scales of a quantized tensor; none of any other."""
    return () if tensor.quantization is None or tensor.quantization.scale is None else tensor.quantization.scale


def _text(value: Any) -> str:  # noqa: ANN401 (the schema gives bytes, or text)
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
