"""The Keras model: loaded, called once, its tensors named, and asked for the reference answers.

One of the few modules that import Keras and TensorFlow. Graphs are made in `tracing.py`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from kedge_bundle.cases import as_tensor
from kedge_bundle.signature import Signature, Tensors, TensorSpec
from kedge_exporter import keras_repairs
from kedge_exporter.calling import Calling, functional_calling, functions_inlined, spec_of, subclassed_calling
from kedge_exporter.custom_module import import_custom, own_objects
from kedge_exporter.errors import ModelRefused
from kedge_exporter.forgetting import forgetting
from kedge_exporter.input_layers import needed_value
from kedge_exporter.inspect import Contents
from kedge_exporter.naming import structure_names

Precision = Literal["bfloat16", "float16", "float32", "float64"]

_COLOUR = re.compile(r"\033\[[0-9;]*m")
_PREAMBLE = "Exception encountered when calling"
_PROBE_SIZE = 8
"""What stands for an unknown size when a model is called only to see what comes out."""


@dataclass(frozen=True)
class LoadedModel:
    """A Keras model with named inputs and outputs.

    Attributes:
        model: the Keras model.
        graph: the Functional model inside (of a Sequential, too); None for subclassed models.
        signature: names, dtypes and shapes, in Keras' flat order.
        call: flat input tensors in the signature's order -> flat output tensors in the signature's order.
        precision: the coarsest precision that any layer computes in.
        own: the classes and functions of the model that Keras does not define, by name.
        notes: what the user should know of how the file was read.
    """

    model: Any
    graph: Any | None
    signature: Signature
    call: Callable[[list[Any]], list[Any]]
    precision: Precision
    own: dict[str, Any]
    notes: tuple[str, ...] = ()

    def answer(self, inputs: Tensors) -> Tensors:
        """Keras' own answers: eager, not the traced graph (but of `tracing.in_one_graph`); each (rows, ...).

        Raises:
            ModelRefused: Keras cannot answer these inputs.
        """
        specs = self.signature.inputs
        try:
            tensors = [tf.constant(inputs[spec.name], _tf_dtype(spec.dtype)) for spec in specs]
            with functions_inlined(), forgetting():
                answers = self.call(tensors)
        except Exception as error:  # a model may raise anything
            raise ModelRefused(f"Keras cannot answer its own model: {describe(error)}") from error
        names = self.signature.output_names
        return {name: as_tensor(np.asarray(t.numpy())) for name, t in zip(names, answers, strict=True)}

    @property
    def parameters(self) -> int:
        """How many weights the model has."""
        return int(self.model.count_params())

    @property
    def weight_bytes(self) -> int:
        """The size of the weights."""
        return sum(int(weight.value.dtype.size) * int(np.prod(weight.shape)) for weight in self.model.weights)

    def layers(self) -> list[Any]:
        """Every layer, those of nested models and of wrappers too."""
        return list(self.model._flatten_layers())  # noqa: SLF001 (Keras offers no public way into nested layers)


def load(contents: Contents, custom: Path | None, data: Tensors | None) -> LoadedModel:
    """Load a `.keras` file, call the model once and name what goes in and comes out.

    Args:
        contents: the file, as it was read as data.
        custom: a Python file that defines the model's own classes, run with the operator's consent.
        data: the user's samples; they give the dtypes of inputs whose dtype the file does not record.

    Raises:
        UsageError: the custom module cannot be imported.
        ModelRefused: the custom module does not define what the file names, Keras refuses the file, or the model
            cannot be served.
    """
    # Keras counts the names that it makes up: the same file gets the same names in every process.
    keras.utils.clear_session()
    keras_repairs.mend()
    registered = keras.saving.get_custom_objects()
    own = {} if custom is None else own_objects(contents.path, import_custom(custom), contents.own_names, registered)
    try:
        model = keras.models.load_model(
            contents.copy or contents.path, custom_objects=own, compile=False, safe_mode=True
        )
    except Exception as error:  # Keras raises every kind of exception on files that it does not take
        raise ModelRefused(f"{contents.path}: Keras {keras.__version__} refuses it: {describe(error)}") from error
    finally:
        if contents.copy is not None:
            contents.copy.unlink()
    if not isinstance(model, keras.Model):
        raise ModelRefused(f"{contents.path}: a {type(model).__name__}, not a model")
    _check_can_be_served(model)
    return _opened(model, own, data) or named(model, own, data)


def _opened(model: Any, own: dict[str, Any], data: Tensors | None) -> LoadedModel | None:  # noqa: ANN401 (Keras ships no types)
    """A Sequential that takes any number of rows, of the same layers; None for every other model.

    One without an Input is built by its first call, `fit` included, and its file cannot be told from one that was given
    the batch of that call.
    """
    if not isinstance(model, keras.Sequential) or model._functional is None or model.input_shape[0] is None:  # noqa: SLF001 (whether it was built)
        return None
    given = model.inputs[0]
    opening = keras.Input(batch_shape=(None, *given.shape[1:]), dtype=given.dtype, name=given.name)
    try:
        opened = named(keras.Sequential([opening, *model.layers], name=model.name), own, data)
    except Exception:  # noqa: BLE001 (a layer of the user's may insist on its rows: they stay, and the manifest says so)
        return None
    recorded = f"the file records {model.input_shape[0]} rows"
    note = (
        f"{recorded}, as Keras notes the first call of a Sequential without an Input; exported for any number of rows"
    )
    return replace(opened, notes=(*opened.notes, note))


def named(
    model: Any,  # noqa: ANN401 (Keras ships no types)
    own: dict[str, Any],
    data: Tensors | None,
    outputs: tuple[TensorSpec, ...] | None = None,
) -> LoadedModel:
    """Call a Keras model once and name what goes in and comes out.

    Args:
        model: the model.
        own: the classes and functions that Keras does not define, by name.
        data: as for `load`.
        outputs: what a Functional model answers, where that is known; then it is not called.

    Raises:
        ModelRefused: the model cannot be called, or cannot be served.
    """
    graph = _graph_of(model)
    calling = functional_calling(model, graph) if graph is not None else subclassed_calling(model, data or {})
    known = outputs if graph is not None and len(graph.outputs) == len(outputs or ()) else None
    return LoadedModel(
        model=model,
        graph=graph,
        signature=Signature(inputs=calling.inputs, outputs=known or _outputs(model, graph, calling)),
        call=lambda tensors: keras.tree.flatten(calling.call(tensors)),
        precision=_precision(model),
        own=own,
        notes=calling.notes,
    )


def describe(error: BaseException) -> str:
    """An exception in one line: its type and what its message begins with, less Keras' preamble and colours."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines()]
    lines = [line for line in lines if line and not line.startswith(_PREAMBLE)]
    return f"{type(error).__name__}: {lines[0][:400]}" if lines else type(error).__name__


def _graph_of(model: Any) -> Any | None:  # noqa: ANN401 (Keras ships no types)
    inner = getattr(model, "_functional", None) or model
    return inner if isinstance(inner, keras.src.models.functional.Functional) else None


def _check_can_be_served(model: Any) -> None:  # noqa: ANN401
    for layer in model._flatten_layers():  # noqa: SLF001 (as in LoadedModel.layers)
        if getattr(layer, "stateful", False):
            raise ModelRefused(
                f"the layer '{layer.name}' ({type(layer).__name__}) is stateful: it remembers the call before, "
                "and a server's calls come from many clients; build it with stateful=False"
            )


def _outputs(model: Any, graph: Any | None, calling: Calling) -> tuple[TensorSpec, ...]:  # noqa: ANN401
    """What the model answers, from one call."""
    if not calling.inputs:
        raise ModelRefused(f"the model '{model.name}' has no inputs; a model to serve takes at least one")
    try:
        needed = [None for _ in calling.inputs] if graph is None else [needed_value(graph, t) for t in graph.inputs]
        with functions_inlined():
            answer = calling.call([_probe(*pair) for pair in zip(calling.inputs, needed, strict=True)])
    except Exception as error:  # a model may raise anything
        shapes = ", ".join(f"'{spec.name}' {spec.describe_shape()}" for spec in calling.inputs)
        raise ModelRefused(
            f"the model '{model.name}' cannot be called with the inputs that its file records ({shapes}): "
            f"{describe(error)}"
        ) from error
    flat = keras.tree.flatten_with_path(answer)
    struct_names = list(graph.output_names) if graph is not None else [f"output_{i}" for i in range(len(flat))]
    names = structure_names([path for path, _ in flat], struct_names)
    for name, (_, tensor) in zip(names, flat, strict=True):
        if not isinstance(tensor, tf.Tensor):
            raise ModelRefused(f"the output '{name}' is a {type(tensor).__name__}; served tensors are dense arrays")
    return tuple(
        spec_of("output", name, tensor.dtype.name, _unknown_sizes(tensor.shape))
        for name, (_, tensor) in zip(names, flat, strict=True)
    )


def _unknown_sizes(shape: Any) -> tuple[int | None, ...]:  # noqa: ANN401
    """The rank of an answer; tracing finds which of its sizes are fixed."""
    return tuple(None for _ in shape)


def _probe(spec: TensorSpec, value: Any | None) -> Any:  # noqa: ANN401
    sizes = [2 if axis == 0 and size is None else size or _PROBE_SIZE for axis, size in enumerate(spec.shape)]
    if value is None:
        return tf.zeros(sizes, _tf_dtype(spec.dtype))  # of bool and string as well
    return tf.fill(sizes, tf.constant(value, _tf_dtype(spec.dtype)))


def _tf_dtype(dtype: str) -> Any:  # noqa: ANN401
    return tf.as_dtype(dtype)


def _precision(model: Any) -> Precision:  # noqa: ANN401
    computed = {str(layer.compute_dtype) for layer in model._flatten_layers()}  # noqa: SLF001 (as above)
    floats = {dtype for dtype in computed if "float" in dtype}
    halves: tuple[Precision, ...] = ("bfloat16", "float16")
    for half in halves:
        if half in floats:
            return half
    return "float64" if floats == {"float64"} else "float32"
