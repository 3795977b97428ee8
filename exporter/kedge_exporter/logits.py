"""Keras' own logits: what the last softmax or sigmoid of an output was given. Imports TensorFlow.

Nothing of the model is taken apart for it. Keras notes on what a softmax or a sigmoid answers what went in, for losses
that want the logits of a model that ends in one (`_keras_logits`, set in `keras/src/backend/tensorflow/nn.py`); called
eagerly, a model hands that very tensor out, however its layers are wired.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf  # noqa: TID253 (one of the modules that know Keras)
from numpy.typing import NDArray

from kedge_bundle.cases import as_tensor
from kedge_bundle.signature import Tensors
from kedge_exporter.advice_graph import exact_class
from kedge_exporter.calling import functions_inlined
from kedge_exporter.errors import ModelRefused
from kedge_exporter.input_layers import readings
from kedge_exporter.keras_model import describe
from kedge_exporter.samples import SIZES, draws, one_case

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel

_LOGITS = "_keras_logits"
_MOVING = {"Flatten", "Permute", "Reshape"}
"""Layers that hand every value on at another place; those that hand on the tensor itself need no help."""
_SPARE_PLACES = 16
"""How far softmax here and in TensorFlow may be apart, in units of the last place of 1."""
_ROWS = 3

Array = NDArray[Any]


def heads(loaded: "LoadedModel") -> dict[str, str]:
    """The outputs that end in a softmax or a sigmoid: output name -> `softmax` or `sigmoid`.

    An output counts when Keras tells its logits, and one of the two, computed here, gives the output back from them.

    Raises:
        ModelRefused: Keras answers no typical input.
    """
    inputs = draws(loaded.signature, readings(loaded), ())
    rows = loaded.signature.fixed_batch or _ROWS
    refused = ModelRefused("no size was tried")
    for size in SIZES:
        try:
            answers, logits = answer_with_logits(loaded, one_case(inputs, "typical", rows, size, _rng()))
        except ModelRefused as error:
            refused = error
            continue
        kinds = {name: _kind(answers[name], given) for name, given in logits.items()}
        return {name: kind for name, kind in kinds.items() if kind is not None}
    raise refused


def answer_logits(loaded: "LoadedModel", inputs: Tensors) -> Tensors:
    """Keras' own logits, of every output whose logits it tells; of the outputs' shapes and dtypes, (rows, ...).

    Those of `heads` are among them; the others are no logits of a softmax or a sigmoid along one axis.

    Raises:
        ModelRefused: Keras cannot answer these inputs.
    """
    return answer_with_logits(loaded, inputs)[1]


def answer_with_logits(loaded: "LoadedModel", inputs: Tensors) -> tuple[Tensors, Tensors]:
    """What `LoadedModel.answer` and `answer_logits` give, from one call of the model.

    Raises:
        ModelRefused: Keras cannot answer these inputs.
    """
    specs, names = loaded.signature.inputs, loaded.signature.output_names
    try:
        with _carried_on(loaded), functions_inlined():
            tensors = loaded.call([tf.constant(inputs[spec.name], tf.as_dtype(spec.dtype)) for spec in specs])
    except Exception as error:  # a model may raise anything
        raise ModelRefused(f"Keras cannot answer its own model: {describe(error)}") from error
    answers = {name: as_tensor(np.asarray(tensor.numpy())) for name, tensor in zip(names, tensors, strict=True)}
    told = {name: getattr(tensor, _LOGITS, None) for name, tensor in zip(names, tensors, strict=True)}
    logits = {name: np.asarray(given.numpy()) for name, given in told.items() if given is not None}
    return answers, {name: array for name, array in logits.items() if _is_alike(array, answers[name])}


@contextmanager
def _carried_on(loaded: "LoadedModel") -> Iterator[None]:
    """While entered, layers that only move values move the logits along with them."""
    movers = [layer for layer in loaded.layers() if exact_class(layer) in _MOVING]
    try:
        for layer in movers:
            object.__setattr__(layer, "call", _carrying(layer.call))  # past Keras' tracking of attributes
        yield
    finally:
        for layer in movers:
            layer.__dict__.pop("call", None)


def _carrying(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def carrying(tensor: Any) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
        moved = call(tensor)
        logits = getattr(tensor, _LOGITS, None)
        if logits is not None and moved is not tensor:
            setattr(moved, _LOGITS, call(logits))
        return moved

    return carrying


def _is_alike(array: Array, other: Array) -> bool:
    return array.shape == other.shape and array.dtype == other.dtype and array.dtype.kind == "f"


def _kind(answer: Array, logits: Array) -> str | None:
    """Which of the two gives the answer back from the logits, up to rounding; None: neither. Axis 0 is the rows."""
    allowed = _SPARE_PLACES * float(np.finfo(answer.dtype).eps)
    expected = answer.astype(np.float64)
    candidates = [("softmax", _softmax(logits, axis)) for axis in range(-1, -answer.ndim, -1)]
    for kind, values in [*candidates, ("sigmoid", _sigmoid(logits))]:
        if np.allclose(values, expected, rtol=0.0, atol=allowed, equal_nan=True):
            return kind
    return None


def _softmax(logits: Array, axis: int) -> Array:
    values = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):
        powers = np.exp(values - values.max(axis=axis, keepdims=True))
        return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def _sigmoid(logits: Array) -> Array:
    # exp of what is not positive never overflows.
    small = np.exp(-np.abs(logits.astype(np.float64)))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
