"""Looks into an ONNX artifact: onnxruntime answers any tensor of the graph that is declared an output."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx  # noqa: TID253 (one of the modules that know ONNX)
import onnxruntime  # noqa: TID253
from numpy.typing import NDArray

from kedge_bundle.manifest import Artifact
from kedge_bundle.signature import Tensors
from kedge_exporter.culprit.axes import Axes, order_of_axes
from kedge_exporter.culprit.points import Point, TracedGraph
from kedge_exporter.culprit.probe import CannotProbe, Seen

_ERRORS_ONLY = 3
_APART = "//apart"
"""Behind the name of a tensor whose readers are given another value."""
_NUMBERED = re.compile(r"__\d+:\d+$")


class OnnxProbe:
    """An ONNX model, opened to be looked into; see `probe.Probe`."""

    finest: ClassVar[str] = "float64"

    def __init__(self, path: Path, artifact: Artifact) -> None:
        self._model = onnx.load(path)
        self._artifact = artifact
        self._tensors: dict[str, str] = {}
        self._axes: dict[str, Axes] = {}
        self._dtypes: dict[str, Any] = {}

    def find(self, points: Sequence[Point], graph: TracedGraph) -> dict[str, str]:
        """See `Probe.find`."""
        outputs = {name: self._artifact.outputs[output] for output, names in graph.outputs.items() for name in names}
        names = _Names(self._model.graph, graph)
        found: dict[str, str] = {}
        for point in points:
            own = next((outputs[name] for name in point.names if name in outputs), None) or names.find(point)
            if own is not None and own not in found.values():
                found[point.tensor] = own
        self._tensors = found
        return dict(found)

    def run(self, inputs: Tensors, reference: Tensors) -> dict[str, Seen]:
        """See `Probe.run`."""
        names = [self._tensors[point] for point in reference]
        seen = {}
        for (point, right), name, value in zip(
            reference.items(), names, self._answers(self._feeds(inputs), names), strict=True
        ):
            axes = order_of_axes(value, right)
            if axes is not None:
                self._dtypes[point], self._axes[point] = value.dtype, axes
                seen[point] = Seen(name, axes.as_keras(value))
        return seen

    def run_apart(self, inputs: Tensors, given: Tensors) -> dict[str, NDArray[Any]]:
        """See `Probe.run_apart`."""
        feeds, graph = self._feeds(inputs), self._model.graph
        read = {name for part in _graphs(graph) for node in part.node for name in node.input}
        moved = {}
        for point, value in given.items():
            name = self._tensors[point]
            moved[name] = f"{name}{_APART}"
            if name in read:
                feeds[name] = self._axes[point].as_artifact(value.astype(self._dtypes[point]))
                element = onnx.helper.np_dtype_to_tensor_dtype(feeds[name].dtype)
                graph.input.append(onnx.helper.make_tensor_value_info(name, element, [None] * value.ndim))
        for node in graph.node:  # the readers stay as they are, those in the bodies of loops as well
            node.output[:] = [moved.get(name, name) for name in node.output]
        answers = self._answers(feeds, [moved[self._tensors[point]] for point in given])
        return {point: self._axes[point].as_keras(answer) for point, answer in zip(given, answers, strict=True)}

    def _feeds(self, inputs: Tensors) -> dict[str, Any]:
        return {self._artifact.inputs[name]: _to_onnx(array) for name, array in inputs.items()}

    def _answers(self, feeds: dict[str, Any], names: list[str]) -> list[NDArray[Any]]:
        """The values of any tensors; the model in memory is changed, since a copy would be one of all weights."""
        outputs = self._model.graph.output
        del outputs[:]
        outputs.extend(onnx.ValueInfoProto(name=name) for name in names)  # onnxruntime finds their types
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._artifact.options.threads
        options.log_severity_level = _ERRORS_ONLY
        if self._artifact.options.graph_optimization == "disabled":
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                self._model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            answers: list[NDArray[Any]] = session.run(names, feeds)
        except Exception as error:  # onnxruntime's exception types share no public base
            raise CannotProbe(f"onnxruntime does not run it: {error}") from error
        return answers


class _Names:
    """Finds what tf2onnx made of a tensor of TensorFlow's."""

    def __init__(self, graph: onnx.GraphProto, traced: TracedGraph) -> None:
        self._traced = traced
        self._made = {name for node in graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def find(self, point: Point) -> str | None:
        """The tensor that holds a point, if there is one."""
        return next((self._last(name) for name in point.names if name in self._made), None) or self._folded(point)

    def _last(self, name: str) -> str:
        """tf2onnx names the first node of those that it writes for one of TensorFlow's; the others are numbered."""
        stem = name.partition(":")[0]
        while True:
            after = {str(output) for node in self._readers.get(name, ()) for output in node.output}
            if len(after) != 1 or not all(_is_numbered(output, stem) for output in after):
                return name
            name = after.pop()

    def _folded(self, point: Point) -> str | None:
        """Where a batch normalization became part of a convolution, whose bias still has its name."""
        for bias in self._traced.added_constants(point.tensor):
            readers = self._readers.get(bias, [])
            if len(readers) == 1 and readers[0].op_type == "Conv" and list(readers[0].input[2:]) == [bias]:
                return str(readers[0].output[0])
        return None


def _is_numbered(name: str, stem: str) -> bool:
    return name.startswith(stem) and _NUMBERED.fullmatch(name[len(stem) :]) is not None


def _to_onnx(array: NDArray[Any]) -> NDArray[Any]:
    """Strings travel into onnxruntime as str; everything else as it is."""
    if array.dtype != object:
        return array
    return np.array([item.decode("utf-8") for item in array.ravel()], object).reshape(array.shape)


def _graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """The graph, and the bodies of its loops and branches, which read its tensors by name."""
    inner = (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g"))
    return [graph, *(found for body in inner for found in _graphs(body))]
