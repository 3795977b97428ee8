"""What passes the points of a Keras model when it answers: exactly, by its own rounding, and layer by layer."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf  # noqa: TID253 (one of the modules that know Keras)
from numpy.typing import NDArray

from kedge_bundle.signature import Tensors
from kedge_exporter.culprit.budget import Errors, errors_of
from kedge_exporter.culprit.calls import Call, watched
from kedge_exporter.culprit.points import Point

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel

_MASK = "_keras_mask"
"""Where Keras keeps what it knows of a tensor's padding."""


@dataclass
class OwnErrors:
    """Keras' own errors, and the dtypes that it computed in, by the tensors of the points."""

    errors: dict[str, Errors] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)


def layer_values(model: "LoadedModel", inputs: Tensors, points: Iterable[Point]) -> dict[str, NDArray[Any]]:
    """The answers of layers, by the tensors of their points; what is no array of numbers is left out.

    Raises:
        ModelRefused: the model cannot answer these inputs, or calls its layers in another order than it was traced in.
    """
    values: dict[str, NDArray[Any]] = {}

    def take(point: Point, tensor: Any) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
        if _is_number(tensor):
            values[point.tensor] = np.asarray(tensor.numpy())
        return tensor

    _answer(model, inputs, points, take)
    return values


def own_errors(
    model: "LoadedModel", inputs: Tensors, points: Iterable[Point], reference: Mapping[str, NDArray[Any]]
) -> OwnErrors:
    """Keras' errors behind each layer, run from the inputs of the model.

    Raises:
        ModelRefused: as for `layer_values`.
    """
    return _measured(model, inputs, points, reference, lambda _point, tensor: tensor)


def own_errors_apart(
    model: "LoadedModel", inputs: Tensors, points: Iterable[Point], reference: Mapping[str, NDArray[Any]]
) -> OwnErrors:
    """Keras' errors of the layers between two points alone: behind each point it goes on with the reference's value.

    Raises:
        ModelRefused: as for `layer_values`.
    """

    def right(point: Point, tensor: Any) -> Any:  # noqa: ANN401
        value = tf.constant(reference[point.tensor].astype(tensor.dtype.as_numpy_dtype))
        if hasattr(tensor, _MASK):
            setattr(value, _MASK, getattr(tensor, _MASK))
        return value

    return _measured(model, inputs, points, reference, right)


def _measured(
    model: "LoadedModel",
    inputs: Tensors,
    points: Iterable[Point],
    reference: Mapping[str, NDArray[Any]],
    go_on_with: Callable[[Point, Any], Any],
) -> OwnErrors:
    """Keras' errors at the points; behind each, the model goes on with what `go_on_with` says."""
    own = OwnErrors()

    def take(point: Point, tensor: Any) -> Any:  # noqa: ANN401
        own.errors[point.tensor] = errors_of(np.asarray(tensor.numpy()), reference[point.tensor])
        own.dtypes[point.tensor] = tensor.dtype.name
        return go_on_with(point, tensor)

    _answer(model, inputs, points, take)
    return own


def _answer(model: "LoadedModel", inputs: Tensors, points: Iterable[Point], take: Callable[[Point, Any], Any]) -> None:
    """Let the model answer; each answer of a layer that is a point goes to `take`, which says what to go on with."""
    places = {point.place: point for point in points}

    def visit(call: Call, tensors: list[Any]) -> list[Any]:
        return [visit_one(call, places.get((call.key, index)), tensor) for index, tensor in enumerate(tensors)]

    def visit_one(call: Call, point: Point | None, tensor: Any) -> Any:  # noqa: ANN401
        if point is None:
            return tensor
        if point.call.class_name != call.class_name:
            traced = f"{point.call.layer} ({point.call.class_name})"
            raise ValueError(f"{call.layer} ({call.class_name}) is called where {traced} was, when it was traced")
        return take(point, tensor)

    with watched(visit):
        model.answer(inputs)


def _is_number(tensor: Any) -> bool:  # noqa: ANN401
    return isinstance(tensor, tf.Tensor) and (
        tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool
    )
