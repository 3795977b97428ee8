"""What the layers of a Keras model answer while it is called, one call after another. Imports Keras.

The calls of one model come in the same order every time, whether it is traced into a graph or answers numbers, in
float32 or in float64: a call is known by its place among the calls of the layer that made it. Names would not do, since
those that Keras makes up differ between two copies of a subclassed model.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras  # noqa: TID253 (one of the modules that know Keras)

Key = tuple[int, ...]
"""The place of a call: (0, 2, 1) is the second call that was made within the third call within the model's own."""


@dataclass(frozen=True)
class Call:
    """One call of a layer, or of an operation of a Functional graph.

    Attributes:
        key: its place.
        layer: the names of the layers from the model inwards, less the model's own: `block/conv2d`. A layer that the
            same caller calls again is `dense#2`.
        class_name: the layer's class.
    """

    key: Key
    layer: str
    class_name: str


@dataclass(frozen=True)
class LayerCall(Call):
    """A call in a graph.

    Attributes:
        tensors: the names of its answers, `functional/dense/BiasAdd:0`; "" for those that have none there.
        operations: the names of the operations that answer, those of loops as well, whose answers have other numbers in
            a frozen graph.
    """

    tensors: tuple[str, ...]
    operations: tuple[str, ...] = ()


Visit = Callable[[Call, list[Any]], list[Any]]
"""Given a call and its tensors, those that the model is to go on with."""


@dataclass
class _Running:
    """A call that has not ended."""

    call: Call
    begun: int = 0
    times: dict[int, int] = field(default_factory=dict)

    def next_call(self, operation: Any) -> Call:  # noqa: ANN401 (Keras ships no types)
        key = (*self.call.key, self.begun)
        self.begun += 1
        times = self.times[id(operation)] = self.times.get(id(operation), 0) + 1
        name = operation.name if times == 1 else f"{operation.name}#{times}"
        path = name if len(key) <= _DEPTH_OF_LAYERS else f"{self.call.layer}/{name}"
        return Call(key, path, type(operation).__name__)


_DEPTH_OF_LAYERS = 2
"""How long the keys of the model's own layers are; that of the model is one shorter."""


@contextmanager
def watched(visit: Visit) -> Iterator[None]:
    """While entered, every call of a layer is shown to `visit` when it ends: those inside of it come first.

    What other threads do with Keras meanwhile is their own.
    """
    original = keras.Operation.__call__
    thread = threading.get_ident()
    running = [_Running(Call((), "", ""))]

    def calling(operation: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if threading.get_ident() != thread:
            return original(operation, *args, **kwargs)
        call = running[-1].next_call(operation)
        running.append(_Running(call))
        try:
            answer = original(operation, *args, **kwargs)
        finally:
            running.pop()
        before = keras.tree.flatten(answer)
        if any(isinstance(tensor, keras.KerasTensor) for tensor in before):  # it was only asked for shapes
            return answer
        after = visit(call, before)
        if all(old is new for old, new in zip(before, after, strict=True)):
            return answer
        return keras.tree.pack_sequence_as(answer, after)

    keras.Operation.__call__ = calling
    try:
        yield
    finally:
        keras.Operation.__call__ = original


@dataclass
class Recording:
    """The calls of a model that is being traced, in the order in which they end, with their symbolic tensors."""

    calls: list[tuple[Call, list[Any]]] = field(default_factory=list)

    def visit(self, call: Call, tensors: list[Any]) -> list[Any]:
        """Note a call; its tensors stay as they are."""
        self.calls.append((call, tensors))
        return tensors

    def within(self, traced: Any, kept: frozenset[str]) -> tuple[LayerCall, ...]:  # noqa: ANN401 (TensorFlow ships no types)
        """The calls whose tensors stand in a graph itself, not in the bodies of its loops.

        Args:
            traced: the graph that the model was traced into.
            kept: the names of the operations that still answer what they did there.
        """
        # A body is traced once and run many times: when the model answers numbers, the calls count otherwise.
        looping = {call.key[:-1] for call, tensors in self.calls if any(_is_elsewhere(t, traced) for t in tensors)}
        return tuple(
            LayerCall(
                call.key,
                call.layer,
                call.class_name,
                tuple(_name(tensor, traced, kept) for tensor in tensors),
                tuple(t.op.name for t in tensors if getattr(t, "graph", None) is traced),
            )
            for call, tensors in self.calls
            if not any(call.key[:depth] in looping for depth in range(len(call.key)))
        )


def _is_elsewhere(tensor: Any, graph: Any) -> bool:  # noqa: ANN401
    return getattr(tensor, "graph", graph) is not graph


def _name(tensor: Any, graph: Any, kept: frozenset[str]) -> str:  # noqa: ANN401
    if getattr(tensor, "graph", None) is not graph or tensor.op.name not in kept:
        return ""
    return str(tensor.name)


@contextmanager
def recorded() -> Iterator[Recording]:
    """While entered, the calls of every layer are noted."""
    recording = Recording()
    with watched(recording.visit):
        yield recording
