"""What the rules of advice see of a Keras model: its layers by Keras' own classes, and the calls of its graph.

Nothing of Keras is imported: layers are told apart by the names of the classes that Keras itself defines. Whatever is
not known for certain (a class of the user's, an op in the way) is None, and the rules are silent about it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedge_exporter.inspect import Contents
    from kedge_exporter.keras_model import LoadedModel

_WITH_ACTIVATION = {
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "Dense", "DepthwiseConv1D",
    "DepthwiseConv2D", "EinsumDense", "SeparableConv1D", "SeparableConv2D",
}  # fmt: skip
"""Layers that compute something and then apply their `activation`."""

_ACTIVATIONS = {
    # Layers and ops that are an activation and nothing else.
    "Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid", "ReLU": "relu", "Relu": "relu",
}  # fmt: skip

_TRANSPARENT = {
    "ActivityRegularization", "AlphaDropout", "Dropout", "Flatten", "GaussianDropout", "GaussianNoise", "Identity",
    "Reshape", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
}  # fmt: skip
"""Layers and ops that at inference hand on every value as it is."""


@dataclass(frozen=True)
class Subject:
    """A model that is to be judged: its file as data, and the model that was loaded from it."""

    contents: "Contents"
    loaded: "LoadedModel"


@dataclass(frozen=True)
class Applied:
    """One activation on the way to an output.

    Attributes:
        name: Keras' name of it (`softmax`, `linear` …); None where it is not one of Keras' own.
        layer: the name of the layer that applies it.
        size: the size of the axis that it normalises over; None where that is unknown or makes no sense.
    """

    name: str | None
    layer: str
    size: int | None


def is_a(layer: Any, *names: str) -> bool:  # noqa: ANN401 (Keras ships no types)
    """Whether a layer is of one of these classes of Keras, or of a class derived from one."""
    own = {cls.__name__ for cls in type(layer).__mro__ if cls.__module__.startswith("keras.")}
    return not own.isdisjoint(names)


def exact_class(layer: Any) -> str | None:  # noqa: ANN401
    """The name of the layer's class where it is Keras' own; derived classes may do anything."""
    cls = type(layer)
    return cls.__name__ if cls.__module__.startswith("keras.") else None


def inner_graph(operation: Any) -> Any | None:  # noqa: ANN401
    """The Functional graph inside a nested model; None for plain layers and subclassed models."""
    inner = getattr(operation, "_functional", None) or operation
    return inner if exact_class(inner) == "Functional" else None


def nodes(graph: Any) -> Iterator[Any]:  # noqa: ANN401
    """The calls that lead to the graph's outputs; a shared layer has calls in other graphs as well."""
    for same_depth in graph._nodes_by_depth.values():  # noqa: SLF001 (Keras offers no public view of the edges)
        yield from same_depth


def last_activations(tensor: Any) -> Iterator[Applied]:  # noqa: ANN401
    """The activations that were applied to a tensor one after another, the last one first.

    Ends at the layer that computed the values (a Dense, a convolution), and with a None where that is unknown.
    """
    while True:
        operation, node_index, tensor_index = tensor._keras_history  # noqa: SLF001 (as in `nodes`)
        if (inner := inner_graph(operation)) is not None:
            tensor = inner.outputs[tensor_index]
            continue
        kind = exact_class(operation)
        layer = operation.layer if kind == "TimeDistributed" else operation
        kind = exact_class(layer)
        if kind in _WITH_ACTIVATION or kind == "Activation":
            yield Applied(_function_name(layer.activation), operation.name, tensor.shape[-1])
        elif kind in _ACTIVATIONS:
            axis = getattr(layer, "axis", -1)
            yield Applied(_ACTIVATIONS[kind], operation.name, tensor.shape[axis] if isinstance(axis, int) else None)
        elif kind not in _TRANSPARENT:
            yield Applied(None, operation.name, None)
            return
        if kind in _WITH_ACTIVATION:
            return
        tensor = operation._inbound_nodes[node_index].input_tensors[0]  # noqa: SLF001 (as in `nodes`)


def _function_name(function: Any) -> str | None:  # noqa: ANN401
    """The name of an activation function, or of a layer that serves as one, where it is Keras' own."""
    if not getattr(function, "__module__", "").startswith("keras."):
        return None
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else _ACTIVATIONS.get(type(function).__name__)
