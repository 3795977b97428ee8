"""Looks into a TFLite artifact: LiteRT answers any tensor that the file calls an output of its graph."""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID253 (one of the modules that know TFLite)
from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: TID253
from numpy.typing import NDArray

from kedge_bundle.manifest import Artifact
from kedge_bundle.signature import Tensors
from kedge_exporter.culprit.points import Point, TracedGraph
from kedge_exporter.culprit.probe import CannotProbe, Seen

_IDENTIFIER = b"TFL3"


class TfliteProbe:
    """A TFLite file, opened to be looked into; see `probe.Probe`. Its layout is Keras' own."""

    finest: ClassVar[str] = "float32"

    def __init__(self, path: Path, artifact: Artifact) -> None:
        self._model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        self._graph = self._model.subgraphs[0]
        self._artifact = artifact
        signature = self._model.signatureDefs[0]
        inputs = {_text(entry.name): int(entry.tensorIndex) for entry in signature.inputs}
        self._inputs = {name: inputs[own] for name, own in artifact.inputs.items()}
        self._outputs = {_text(entry.name): int(entry.tensorIndex) for entry in signature.outputs}
        self._model.signatureDefs = []  # it speaks of tensors that will be outputs no more
        self._tensors: dict[str, int] = {}

    def find(self, points: Sequence[Point], graph: TracedGraph) -> dict[str, str]:
        """See `Probe.find`."""
        made = _makers(self._graph, graph)
        for output, names in graph.outputs.items():
            made |= dict.fromkeys(names, self._outputs[self._artifact.outputs[output]])
        found: dict[str, int] = {}
        for point in points:
            own = next((made[name] for name in point.names if name in made), None)
            if own is not None and own not in found.values():
                found[point.tensor] = own
        self._tensors = found
        return {point: _text(self._graph.tensors[index].name) for point, index in found.items()}

    def run(self, inputs: Tensors, reference: Tensors) -> dict[str, Seen]:
        """See `Probe.run`."""
        feeds = {self._inputs[name]: array for name, array in inputs.items()}
        values = self._answers(feeds, [self._tensors[point] for point in reference])
        return {
            point: Seen(_text(self._graph.tensors[self._tensors[point]].name), value)
            for (point, right), value in zip(reference.items(), values, strict=True)
            if value.shape == right.shape
        }

    def run_apart(self, inputs: Tensors, given: Tensors) -> dict[str, NDArray[Any]]:
        """See `Probe.run_apart`."""
        feeds = {self._inputs[name]: array for name, array in inputs.items()}
        read = {int(index) for operator in self._graph.operators for index in operator.inputs}
        moved = {}
        for point, value in given.items():
            index = self._tensors[point]
            moved[index] = len(self._graph.tensors)
            self._graph.tensors.append(copy(self._graph.tensors[index]))
            if index in read:
                feeds[index] = value
        for operator in self._graph.operators:  # its readers stay as they are
            operator.outputs = [moved.get(int(index), int(index)) for index in operator.outputs]
        answers = self._answers(feeds, [moved[self._tensors[point]] for point in given])
        return dict(zip(given, answers, strict=True))

    def _answers(self, feeds: Mapping[int, NDArray[Any]], indices: list[int]) -> list[NDArray[Any]]:
        """The values of any tensors; the file in memory is changed."""
        self._graph.inputs = list(feeds)
        self._graph.outputs = list(dict.fromkeys(indices))
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), file_identifier=_IDENTIFIER)
        is_plain = self._artifact.options.graph_optimization == "disabled"
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if is_plain else OpResolverType.AUTO
        try:
            interpreter = Interpreter(
                model_content=bytes(builder.Output()),
                num_threads=self._artifact.options.threads,
                experimental_op_resolver_type=resolver,
            )
            own = {entry["index"]: entry["dtype"] for entry in interpreter.get_input_details()}
            for index, array in feeds.items():
                interpreter.resize_tensor_input(index, array.shape)
            interpreter.allocate_tensors()
            for index, array in feeds.items():
                interpreter.set_tensor(index, array.astype(np.bytes_ if own[index] is np.bytes_ else own[index]))
            interpreter.invoke()
            return [np.array(interpreter.get_tensor(index)) for index in indices]
        except (ValueError, RuntimeError) as error:
            raise CannotProbe(f"LiteRT does not run it: {error}") from error


def _makers(graph: Any, traced: TracedGraph) -> dict[str, int]:  # noqa: ANN401 (the schema's module ships no types)
    """TensorFlow's tensor -> the tensor of the file that holds it.

    A tensor that several operations became one for carries all their names, and the value of the last of them. Where
    one operation became several, the last of those answers for it.
    """
    made: dict[str, int] = {}
    for operator in graph.operators:
        if len(operator.outputs) == 1:
            index = int(operator.outputs[0])
            names = [_operation(part, traced) for part in _text(graph.tensors[index].name).split(";")]
            known = [name for name in names if name is not None]
            if known:
                made[f"{max(known, key=traced.order.__getitem__)}:0"] = index
    return made


def _operation(part: str, traced: TracedGraph) -> str | None:
    """The operation of a part of a tensor's name, behind which the converter puts digits to tell tensors apart."""
    name = part.partition(":")[0]
    while name and name not in traced.order:
        if not name[-1].isdigit():
            return None
        name = name[:-1]
    return name or None


def _text(value: Any) -> str:  # noqa: ANN401 (the schema gives bytes, or text)
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
