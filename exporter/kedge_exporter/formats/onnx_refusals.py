"""Why a model has no ONNX form: the layer, the op and what to do, out of what tf2onnx logs while it goes on."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from kedge_exporter.formats.onnx_advice import advice_for
from kedge_exporter.formats.onnx_handlers.rewriting import NoOnnxForm
from kedge_exporter.keras_model import describe
from kedge_exporter.naming import layer_of


@dataclass(frozen=True)
class _Trouble:
    """One node that did not convert, why, and what to do about it."""

    node: str
    op: str
    reason: str
    advice: str


class Troubles(logging.Handler):
    """Collects, while entered, what tf2onnx logs as errors: it writes a file even for ops that it does not know."""

    def __init__(self, ops: Mapping[str, str], layers: Mapping[str, str]) -> None:
        """Begin with none.

        Args:
            ops: the graph's nodes, name -> op.
            layers: the model's layers, name -> class.
        """
        super().__init__(logging.ERROR)
        self._logger = logging.getLogger("tf2onnx")
        self._ops = ops
        self._layers = layers
        self._nodes: dict[str, _Trouble] = {}
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what the record tells of a node, or its first line."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        error = record.exc_info[1] if record.exc_info else None
        if record.msg.startswith("Tensorflow op [") and len(arguments) > 1:
            node, op = map(str, arguments[:2])
            self._add(node, op, "has no form in ONNX", "")
        elif record.msg.startswith("Failed to convert node") and arguments and error is not None:
            node = str(arguments[0])
            if isinstance(error, NoOnnxForm):
                self._add(node, "an op", str(error), error.advice)
            else:
                self._add(node, "an op", f"does not convert (tf2onnx: {describe(error)})", "")
        elif not record.msg.startswith("Unsupported ops"):  # a summary of what came before
            self._messages.append(record.getMessage().strip().splitlines()[0])

    def _add(self, node: str, op: str, reason: str, advice: str) -> None:
        op = self._ops.get(node, op)
        self._nodes.setdefault(node, _Trouble(node, op, reason, advice or advice_for(op)))

    def __bool__(self) -> bool:
        """Whether anything went wrong."""
        return bool(self._nodes or self._messages)

    def reason(self) -> str:
        """All troubles in one sentence: those of one layer and one op once."""
        told = {(self._where(trouble), trouble.op): trouble for trouble in reversed(self._nodes.values())}
        sentences = [self._sentence(trouble) for trouble in reversed(told.values())]
        return "; ".join(sentences or [f"tf2onnx: {message}" for message in self._messages[:1]])

    def _sentence(self, trouble: _Trouble) -> str:
        return f"{trouble.op} {self._where(trouble)}at '{trouble.node}' {trouble.reason}; {trouble.advice}"

    def _where(self, trouble: _Trouble) -> str:
        layer = layer_of(trouble.node, self._layers)
        return f"in the layer '{layer}' ({self._layers[layer]}) " if layer else ""

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
