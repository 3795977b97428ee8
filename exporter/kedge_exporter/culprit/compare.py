"""The layer-by-layer curve of an artifact: its own tensors beside those of the Keras model, in float64 and as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from kedge_bundle.manifest import Artifact
from kedge_bundle.signature import Tensors, row_count
from kedge_exporter.culprit.budget import Errors, coarsest, errors_of, judge
from kedge_exporter.culprit.calls import LayerCall
from kedge_exporter.culprit.curve import LayerCurve, LayerError
from kedge_exporter.culprit.kept import believed, unseen
from kedge_exporter.culprit.layer_values import OwnErrors, layer_values, own_errors, own_errors_apart
from kedge_exporter.culprit.points import Point, TracedGraph
from kedge_exporter.culprit.probe import CannotProbe, Probe
from kedge_exporter.errors import ModelRefused
from kedge_exporter.exact import in_float64

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel
    from kedge_exporter.tracing import Frozen

_PROBES = {
    "onnx": ("kedge_exporter.culprit.onnx_probe", "OnnxProbe"),
    "tflite": ("kedge_exporter.culprit.tflite_probe", "TfliteProbe"),
}


class KerasValues:
    """What passes the points of a Keras model, in float64 and as it is; asked once for all formats of one graph.

    Threads may ask, one for each format.

    Attributes:
        loaded: the model.
        exact: the same weights in float64 (`precision.rebuild`); None where a layer refuses, and Keras itself is the
            reference.
        alone: held by the thread for which Keras works: what watches its layers watches all threads.
    """

    def __init__(self, loaded: "LoadedModel", exact: "LoadedModel | None") -> None:
        self.loaded, self.exact = loaded, exact
        self.alone = Lock()
        self._known: dict[int, tuple[Frozen, dict[str, NDArray[Any]], OwnErrors]] = {}

    def of(
        self, frozen: "Frozen", inputs: Tensors, points: Sequence[Point]
    ) -> tuple[dict[str, NDArray[Any]], OwnErrors]:
        """The values of the reference, and Keras' own errors.

        Args:
            frozen: the graph; what was told of it is told again.
            inputs: the same for every format.
            points: all of the graph's.

        Raises:
            ModelRefused: as for `layer_values`.
        """
        with self.alone:
            if id(frozen) not in self._known:
                self._known[id(frozen)] = (frozen, *self._asked(inputs, points))
            _, reference, own = self._known[id(frozen)]
        return reference, own

    def _asked(self, inputs: Tensors, points: Sequence[Point]) -> tuple[dict[str, NDArray[Any]], OwnErrors]:
        if self.exact is None:
            return layer_values(self.loaded, inputs, points), OwnErrors()
        reference = layer_values(self.exact, in_float64(inputs), points)
        numbers = [point for point in points if point.tensor in reference]
        return reference, own_errors(self.loaded, inputs, numbers, reference)


def layer_curve(  # noqa: PLR0913 (the model, the graph between, the artifact and its inputs)
    keras: KerasValues,
    frozen: "Frozen",
    directory: Path,
    artifact: Artifact,
    inputs: Tensors,
    *,
    local: bool = True,
) -> LayerCurve:
    """How far each layer of an artifact is from Keras'. Raises nothing: where there is no curve, it says why.

    Args:
        keras: the Keras model.
        frozen: the graph that the artifact was made from; of other rows is traced anew.
        directory: where the files of the artifact are.
        artifact: the artifact.
        inputs: a typical case of a few rows, each (rows, ...); the first ones are taken where the batch is fixed.
        local: whether the layers are also judged alone, which `culprit` needs; takes as long again.
    """
    try:
        with keras.alone:
            frozen = _of_batch(frozen, artifact)
        return _Comparison(keras, frozen, artifact).curve(directory, inputs, local=local)
    except (CannotProbe, ModelRefused) as error:
        return LayerCurve(format=artifact.format, reason=str(error))
    except Exception as error:  # noqa: BLE001 (libraries raise anything on files with faults; no export fails for a curve)
        return LayerCurve(format=artifact.format, reason=f"{type(error).__name__}: {error}")


def _of_batch(frozen: "Frozen", artifact: Artifact) -> "Frozen":
    """The graph with the artifact's rows: TensorFlow numbers the operations of the two otherwise."""
    if artifact.batch in ("dynamic", frozen.batch):
        return frozen
    return frozen.with_batch(int(artifact.batch))


@dataclass(frozen=True)
class _Comparison:
    """One artifact and the model that it was made from."""

    keras: KerasValues
    frozen: "Frozen"
    artifact: Artifact

    def curve(self, directory: Path, inputs: Tensors, *, local: bool) -> LayerCurve:
        """See `layer_curve`."""
        if self.artifact.format not in _PROBES:
            raise CannotProbe("it is the traced graph itself, in which every layer stands as Keras calls it")
        inputs = self._rows(inputs)
        graph = TracedGraph(self.frozen)
        every = graph.points()
        probe = _open(directory, self.artifact)
        found = probe.find(every, graph)
        points = _some([point for point in every if point.tensor in found])
        known, own = self.keras.of(self.frozen, inputs, every)
        reference = {point.tensor: known[point.tensor] for point in points if point.tensor in known}
        seen = probe.run(inputs, reference)
        cumulative = {tensor: errors_of(found.value, reference[tensor]) for tensor, found in seen.items()}
        points = believed(_some([point for point in points if point.tensor in seen]), graph, cumulative)
        covers = graph.covers(points, every)
        layers = _layers(points, covers, reference, own, {t: (s.tensor, cumulative[t]) for t, s in seen.items()})
        if local:
            layers = self._judged(probe, inputs, points, reference, layers)
        return LayerCurve(
            format=self.artifact.format,
            rows=row_count(inputs),
            is_exact=self.keras.exact is not None,
            layers=tuple(layers.values()),
            unseen=tuple(unseen(self.frozen.calls, every, covers)),
        )

    def _rows(self, inputs: Tensors) -> Tensors:
        rows, batch = row_count(inputs), self.artifact.batch
        if batch == "dynamic":
            return inputs
        if rows < batch:
            raise CannotProbe(f"it runs {batch} rows at a time, and the sample has {rows}")
        return {name: array[:batch] for name, array in inputs.items()}

    def _judged(
        self,
        probe: Probe,
        inputs: Tensors,
        points: list[Point],
        reference: dict[str, NDArray[Any]],
        layers: dict[str, LayerError],
    ) -> dict[str, LayerError]:
        """The layers with what they err by themselves."""
        given = {point.tensor: reference[point.tensor] for point in points}
        apart = probe.run_apart(inputs, given)
        own = OwnErrors()
        if self.keras.exact is not None:
            with self.keras.alone:
                own = own_errors_apart(self.keras.loaded, inputs, points, reference)
        judged = {}
        for tensor, layer in layers.items():
            keras = own.dtypes.get(tensor, self.keras.loaded.precision)
            precision = coarsest(keras, apart[tensor].dtype.name, probe.finest)
            # An artifact in float32 of a model in float64 rounds as nothing in Keras does.
            rounding = own.errors.get(tensor) if precision == keras else None
            judgement = judge(errors_of(apart[tensor], reference[tensor]), rounding, precision)
            judged[tensor] = layer.model_copy(
                update={
                    "local_error": judgement.error,
                    "local_keras_error": judgement.keras_error,
                    "local_allowed": judgement.allowed,
                }
            )
        return judged


def _layers(
    points: list[Point],
    covers: dict[str, tuple[LayerCall, ...]],
    reference: dict[str, NDArray[Any]],
    own: OwnErrors,
    seen: dict[str, tuple[str, Errors]],
) -> dict[str, LayerError]:
    return {
        point.tensor: LayerError(
            layer=point.layer,
            class_name=point.call.class_name,
            covers=tuple(call.layer for call in covers[point.tensor]),
            tensor=seen[point.tensor][0],
            shape=reference[point.tensor].shape,
            cumulative_error=seen[point.tensor][1].largest,
            cumulative_keras_error=_largest(own.errors.get(point.tensor)),
        )
        for point in points
    }


def _open(directory: Path, artifact: Artifact) -> Probe:
    module, name = _PROBES[artifact.format]
    probe: Probe = getattr(import_module(module), name)(directory / artifact.path, artifact)
    return probe


def _some(points: list[Point]) -> list[Point]:
    if not points:
        raise CannotProbe("no tensor of the artifact carries the name of a layer's answer")
    return points


def _largest(errors: Errors | None) -> float | None:
    return None if errors is None else errors.largest
