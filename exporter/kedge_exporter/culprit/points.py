"""The tensors of a traced graph that are some layer's answer, and which layers each of them needs. No library here."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedge_exporter.culprit.calls import Key, LayerCall

if TYPE_CHECKING:
    from kedge_exporter.tracing import Frozen

_COPIES = {"Identity", "IdentityN", "StopGradient", "PreventGradient", "CheckNumerics"}
"""Operations whose answers are what they are given, each in its place."""


_SUMS = {"Add", "AddV2", "BiasAdd"}


@dataclass(frozen=True)
class Point:
    """One answer of a layer.

    Attributes:
        call: the call that computed it.
        index: its place among the answers of the call.
        tensor: the name of the tensor that holds it, `scope/op:0`: it is computed there, not copied.
        names: the names of its copies as well.
    """

    call: LayerCall
    index: int
    tensor: str
    names: tuple[str, ...]

    @property
    def place(self) -> tuple[Key, int]:
        """Where a model that is called shows it."""
        return self.call.key, self.index

    @property
    def layer(self) -> str:
        """What it is called: by its layer; later answers of the same call are `lstm:1`, `lstm:2`."""
        return self.call.layer if self.index == 0 else f"{self.call.layer}:{self.index}"


class TracedGraph:
    """A frozen graph, walked from its answers to its inputs."""

    def __init__(self, frozen: "Frozen") -> None:
        self._graph = frozen.function.graph
        self._inputs = {tensor.name for tensor in frozen.function.inputs}
        self._calls = frozen.calls
        self.outputs = {
            output: self._chain(tensor.name)
            for output, tensor in zip(frozen.output_order, frozen.function.outputs, strict=True)
        }
        """Keras' name of an output -> the names of its tensor and of what that is a copy of."""
        in_order = self._in_order()
        self.order: dict[str, int] = {operation.name: place for place, operation in enumerate(in_order)}
        """Operation -> its place: behind all that it needs."""
        self._dependent: set[str] = set()
        for operation in in_order:
            if operation.type == "Placeholder" or any(given.op.name in self._dependent for given in operation.inputs):
                self._dependent.add(operation.name)

    def points(self) -> tuple[Point, ...]:
        """Every tensor that a layer computed, by the first call that answered it, in the order of the calls."""
        found: dict[str, Point] = {}
        copies: dict[str, dict[str, None]] = {}
        for call in self._calls:
            for index, tensor in enumerate(call.tensors):
                chain = self._chain(tensor) if tensor else ()
                if not chain or chain[-1] in self._inputs:
                    continue
                found.setdefault(chain[-1], Point(call, index, chain[-1], ()))
                copies.setdefault(chain[-1], {}).update(dict.fromkeys(chain))
        for chain in self.outputs.values():
            if chain[-1] in copies:
                copies[chain[-1]].update(dict.fromkeys(chain))
        return tuple(Point(p.call, p.index, tensor, tuple(copies[tensor])) for tensor, p in found.items())

    def covers(self, wanted: Collection[Point], every: Iterable[Point]) -> dict[str, tuple[LayerCall, ...]]:
        """The calls that lie between the wanted points: tensor -> what computes it from the wanted ones before it."""
        by_tensor = {point.tensor: point for point in every}
        cuts = {point.tensor for point in wanted}
        return {point.tensor: self._between(point, cuts, by_tensor) for point in wanted}

    def added_constants(self, tensor: str) -> tuple[str, ...]:
        """The names of what does not depend on the model's inputs, where a tensor is a sum with such a constant."""
        operation = self._graph.get_tensor_by_name(tensor).op
        if operation.type not in _SUMS:
            return ()
        return tuple(given.name for given in operation.inputs if given.op.name not in self._dependent)

    def readers(self, wanted: Collection[Point]) -> dict[str, set[str]]:
        """Which wanted points are computed from another one with none between: tensor -> their tensors."""
        cuts = {point.tensor for point in wanted}
        found: dict[str, set[str]] = {tensor: set() for tensor in cuts}
        for point in wanted:
            for operation in self._behind(point.tensor, cuts):
                for given in operation.inputs:
                    if given.name in cuts:
                        found[given.name].add(point.tensor)
        return found

    def _between(self, point: Point, cuts: set[str], by_tensor: dict[str, Point]) -> tuple[LayerCall, ...]:
        operations = self._behind(point.tensor, cuts)
        passed = {output.name for operation in operations for output in operation.outputs}
        keys = {by_tensor[name].call.key for name in passed if name in by_tensor} | {point.call.key}
        names = {operation.name for operation in operations}
        keys |= {call.key for call in self._calls if not any(call.tensors) and not names.isdisjoint(call.operations)}
        return tuple(call for call in self._calls if call.key in keys)

    def _behind(self, tensor: str, cuts: set[str]) -> list[Any]:
        """The operations that compute a tensor, from its own back to those whose answers are cut."""
        found: dict[str, Any] = {}
        waiting = [self._graph.get_tensor_by_name(tensor).op]
        while waiting:
            operation = waiting.pop()
            if operation.name in found:
                continue
            found[operation.name] = operation
            waiting.extend(given.op for given in operation.inputs if given.name not in cuts)
        return list(found.values())

    def _chain(self, tensor: str) -> tuple[str, ...]:
        """A tensor, what it is a copy of, and so on; the last one is computed where it stands."""
        found = self._graph.get_tensor_by_name(tensor)
        names = [found.name]
        while found.op.type in _COPIES and len(found.op.inputs) == len(found.op.outputs):
            found = found.op.inputs[found.value_index]
            names.append(found.name)
        return tuple(names)

    def _in_order(self) -> list[Any]:
        """Every operation behind those whose answers it reads; GraphDefs promise no order."""
        done: dict[str, Any] = {}
        for operation in self._graph.get_operations():
            waiting = [operation]
            while waiting:
                last = waiting[-1]
                missing = [given.op for given in last.inputs if given.op.name not in done]
                if missing:
                    waiting.extend(missing)
                else:
                    done[waiting.pop().name] = last
        return list(done.values())
