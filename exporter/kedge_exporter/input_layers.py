"""Which layers read each input of the model, and what they tell of the values that it takes. Imports Keras.

What is found leaves here as plain numbers (`readings.py`) for `input_statistics.py` and `samples.py`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from kedge_exporter.advice_graph import nodes
from kedge_exporter.readings import Reading

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel

_Lookup = keras.layers.StringLookup | keras.layers.IntegerLookup

_IDENTITY = {
    "Dropout", "GaussianDropout", "GaussianNoise", "Identity", "RandomBrightness", "RandomColorJitter",
    "RandomContrast", "RandomErasing", "RandomFlip", "RandomRotation", "RandomShear", "RandomTranslation", "RandomZoom",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
}  # fmt: skip
"""Layers that do nothing at inference: what reads their output reads the input itself."""

_PRESERVING = {
    "Cropping1D", "Cropping2D", "Cropping3D", "ExpandDims", "Flatten", "GetItem", "Masking", "Permute", "RepeatVector",
    "Reshape", "Squeeze", "Transpose",
}  # fmt: skip
"""Layers and ops whose outputs are some of their inputs' values: what reads them reads the input."""


def readings(loaded: "LoadedModel") -> dict[str, list[Reading]]:
    """What the model's layers tell of each of its inputs, by input name."""
    names = loaded.signature.input_names
    if loaded.graph is not None:
        return {
            name: list(_read(loaded.graph, tensor, is_direct=True))
            for name, tensor in zip(names, loaded.graph.inputs, strict=True)
        }
    # A subclassed model hides its wiring: an integer input must then be valid for every layer that takes indices, and
    # words may be those of any vocabulary.
    found = [reading for layer in loaded.layers() for reading in _tell(layer, is_direct=False)]
    indices = [reading for reading in found if reading.kind == "indices"]
    words = [reading for reading in found if reading.kind == "vocabulary" and isinstance(reading.words[-1], str)]
    return {
        spec.name: words if spec.dtype == "string" else indices if np.issubdtype(spec.numpy_dtype, np.integer) else []
        for spec in loaded.signature.inputs
    }


def needed_value(graph: Any, tensor: Any) -> Any | None:  # noqa: ANN401 (Keras ships no types)
    """A value that an input must be given to be answered at all, where a vocabulary takes no other; else None."""
    for reading in _read(graph, tensor, is_direct=True):
        if reading.words and not reading.takes_unknown:
            return reading.words[0]
    return None


def _read(graph: Any, tensor: Any, *, is_direct: bool) -> Iterator[Reading]:  # noqa: ANN401 (Keras ships no types)
    """Follow one tensor of a Functional graph to the layers that read it."""
    for same, is_same in _copies(graph, tensor, is_direct=is_direct):
        for node in _readers(graph, same):
            entry = _entry(node, same)
            if entry is not None:
                yield from _read(*entry, is_direct=is_same)
            else:
                yield from _tell(node.operation, is_direct=is_same)


def _copies(graph: Any, tensor: Any, *, is_direct: bool) -> Iterator[tuple[Any, bool]]:  # noqa: ANN401
    """The tensors of a graph that hold the values of this one, itself among them, and whether they are all of it."""
    yield tensor, is_direct
    for node in _readers(graph, tensor):
        entry, name = _entry(node, tensor), type(node.operation).__name__
        passed: list[tuple[Any, bool]] = []
        if entry is not None:  # a nested model may hold nothing but augmentation
            ends = list(zip(entry[0].outputs, node.output_tensors, strict=True))
            for inner, is_same in _copies(*entry, is_direct=is_direct):
                passed.extend((outer, is_same) for end, outer in ends if end is inner)
        elif name in _IDENTITY | _PRESERVING:
            passed.extend((outer, is_direct and name in _IDENTITY) for outer in node.output_tensors)
        for outer, is_same in passed:
            yield from _copies(graph, outer, is_direct=is_same)


def _entry(node: Any, tensor: Any) -> tuple[Any, Any] | None:  # noqa: ANN401
    """The nested model that a call runs, and where this tensor enters it; None for other layers."""
    inner = getattr(node.operation, "_functional", None) or node.operation
    if not isinstance(inner, keras.src.models.functional.Functional) or len(inner.inputs) != len(node.input_tensors):
        return None
    return inner, next(entry for entry, read in zip(inner.inputs, node.input_tensors, strict=True) if read is tensor)


def _readers(graph: Any, tensor: Any) -> Iterator[Any]:  # noqa: ANN401
    """The calls in this graph that read a tensor."""
    return (node for node in nodes(graph) if any(read is tensor for read in node.input_tensors))


def _tell(layer: Any, *, is_direct: bool) -> Iterator[Reading]:  # noqa: ANN401
    """What a layer's configuration and weights tell of the values that it takes."""
    made = {"layer": layer.name, "is_direct": is_direct}
    if isinstance(layer, keras.layers.Normalization):
        if not layer.invert and layer.mean is not None:
            mean, variance = _kept(layer.mean, layer), _kept(layer.variance, layer)
            # A layer that was never adapted passes values through: it tells nothing.
            if (mean != 0).any() or (variance != 1).any():
                yield Reading(
                    kind="normalization",
                    numbers={"mean": mean, "std": np.sqrt(variance)},
                    axes=tuple(layer._keep_axis),  # noqa: SLF001 (the configured axes, made positive)
                    **made,
                )
    elif isinstance(layer, keras.layers.BatchNormalization):
        mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
        if (mean != 0).any() or (variance != 1).any():
            numbers = {"mean": mean, "std": np.sqrt(variance)}
            yield Reading(kind="batch-normalization", numbers=numbers, axes=(layer.axis,), **made)
    elif isinstance(layer, keras.layers.Rescaling):
        numbers = {"scale": _array(layer.scale).ravel(), "offset": _array(layer.offset).ravel()}
        yield Reading(kind="rescaling", numbers=numbers, **made)
    else:
        yield from _tell_entries(layer, made)


def _tell_entries(layer: Any, made: dict[str, Any]) -> Iterator[Reading]:  # noqa: ANN401
    """Which indices or words a layer knows."""
    if isinstance(layer, keras.layers.Embedding):
        yield Reading(kind="indices", numbers={"count": np.array(layer.input_dim, np.float64)}, **made)
    elif isinstance(layer, keras.layers.CategoryEncoding):
        yield Reading(kind="indices", numbers={"count": np.array(layer.num_tokens, np.float64)}, **made)
    elif isinstance(layer, _Lookup) and layer.invert:
        yield Reading(kind="indices", numbers={"count": np.array(layer.vocabulary_size(), np.float64)}, **made)
    elif isinstance(layer, _Lookup):
        words, takes_unknown = tuple(layer.get_vocabulary()), layer.num_oov_indices > 0
        yield Reading(kind="vocabulary", words=words, takes_unknown=takes_unknown, **made)
    elif isinstance(layer, keras.layers.TextVectorization):
        yield Reading(kind="vocabulary", words=tuple(layer.get_vocabulary()), **made)


def _kept(value: Any, layer: Any) -> NDArray[np.float64]:  # noqa: ANN401
    """Mean or variance without the axes of size 1 that broadcasting added."""
    return _array(value).reshape([layer._broadcast_shape[axis] for axis in layer._keep_axis])  # noqa: SLF001


def _array(value: Any) -> NDArray[np.float64]:  # noqa: ANN401
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)
