"""The same model with the same weights, computing in another precision. Imports Keras and TensorFlow.

TFLite computes in float32 only, and a reference in float64 tells rounding from error. Keras fixes the precision of a
layer when it is built, so the model is built anew: saved, every policy in its config replaced, loaded by Keras itself,
which then brings weights, vocabularies and statistics back as it does for any file.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from kedge_bundle.signature import Signature, TensorSpec
from kedge_exporter.errors import ModelRefused
from kedge_exporter.keras_model import LoadedModel, describe, named

Target = Literal["float32", "float64"]

_FLOAT = re.compile(r"(mixed_)?b?float\d+")
_CONFIG = "config.json"
_DRAWING = (
    keras.initializers.VarianceScaling,
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.Orthogonal,
)
"""The initializers that draw; Glorot's, He's and LeCun's are variance scalings."""


class CannotRebuild(Exception):
    """Why a model does not compute in another precision."""


def in_precision(loaded: LoadedModel, target: Target) -> LoadedModel:
    """The model with every float policy replaced by `target` and the same weights.

    What goes in and comes out keeps the dtypes of `loaded`: floats are cast at the border.

    Raises:
        CannotRebuild: a layer insists on its precision, or Keras does not take the model in this one.
    """
    rebuilt = rebuild(loaded, target)
    inner, outer = rebuilt.signature, loaded.signature

    def call(tensors: list[Any]) -> list[Any]:
        given = [tf.cast(tensor, spec.dtype) for tensor, spec in zip(tensors, inner.inputs, strict=True)]
        answers = rebuilt.call(given)
        return [_as_dtype(answer, spec) for answer, spec in zip(answers, outer.outputs, strict=True)]

    return LoadedModel(
        model=rebuilt.model,
        graph=rebuilt.graph,
        signature=outer,
        call=call,
        precision=rebuilt.precision,
        own=loaded.own,
    )


def rebuild(loaded: LoadedModel, target: Target, *, is_called: bool = True) -> LoadedModel:
    """The model in `target` precision inside and out: floats go in and come out as `target`.

    Args:
        loaded: the model.
        target: the precision.
        is_called: whether it is called once, to see that it answers; where it is not, a Functional model is believed to
            answer what `loaded` answers, and whoever calls it will see.

    Raises:
        CannotRebuild: as for `in_precision`.
    """
    given = (_in_target(spec, target) for spec in loaded.signature.inputs)
    data = {spec.name: np.empty(0, spec.numpy_dtype) for spec in given}
    outputs = None if is_called else tuple(_in_target(spec, target) for spec in loaded.signature.outputs)
    with computing_in(target), tempfile.TemporaryDirectory(prefix="kedge-") as scratch:
        directory = Path(scratch) / "model"  # a `.keras` file unpacked; zipping gigabytes would be for nothing
        try:
            loaded.model.save(directory, zipped=False)
            _replace_policies(directory / _CONFIG, target)
            with _weights_undrawn():
                model = keras.models.load_model(directory, custom_objects=loaded.own, compile=False, safe_mode=True)
            rebuilt = named(model, loaded.own, data, outputs)
        except (CannotRebuild, ModelRefused) as error:
            raise CannotRebuild(str(error)) from error
        except Exception as error:  # Keras and the model's own code raise anything
            raise CannotRebuild(f"Keras does not build it in {target}: {describe(error)}") from error
    _check_layers(rebuilt, target)
    _check_weights(loaded, rebuilt)
    if len(rebuilt.signature.outputs) != len(loaded.signature.outputs):
        raise CannotRebuild(f"in {target} it has {len(rebuilt.signature.outputs)} outputs")
    return LoadedModel(
        model=rebuilt.model,
        graph=rebuilt.graph,
        signature=_renamed(rebuilt.signature, loaded.signature),
        call=_computing(rebuilt.call, target),
        precision=rebuilt.precision,
        own=loaded.own,
    )


@contextmanager
def computing_in(target: Target) -> Iterator[None]:
    """Let layers without a policy of their own, and numbers without a dtype, be `target`."""
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx(target)
    keras.config.set_dtype_policy(target)
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def _computing(call: Callable[[list[Any]], list[Any]], target: Target) -> Callable[[list[Any]], list[Any]]:
    def calling(tensors: list[Any]) -> list[Any]:
        with computing_in(target):
            return call(tensors)

    return calling


@contextmanager
def _weights_undrawn() -> Iterator[None]:
    """While entered, weights begin as zeros: to draw millions takes a second, and the next step overwrites them.

    `_check_weights` sees to that.
    """
    drawing = [(kind, kind.__call__) for kind in _DRAWING]
    try:
        for kind in _DRAWING:
            kind.__call__ = _zeros
        yield
    finally:
        for kind, draw in drawing:
            kind.__call__ = draw


def _zeros(_: object, shape: tuple[int, ...], dtype: str | None = None) -> Any:  # noqa: ANN401
    return keras.ops.zeros(shape, dtype or keras.config.floatx())


def _replace_policies(config: Path, target: Target) -> None:
    config.write_text(json.dumps(_replaced(json.loads(config.read_text("utf-8")), target)), "utf-8")


def _replaced(node: Any, target: Target) -> Any:  # noqa: ANN401 (JSON)
    """A config in which every float policy is `target`; policies of integers and strings stay."""
    if isinstance(node, list):
        return [_replaced(item, target) for item in node]
    if not isinstance(node, dict):
        return node
    kind = str(node.get("class_name", ""))
    if kind.startswith("Quantized") and kind.endswith("DTypePolicy"):
        raise CannotRebuild(f"a layer is quantized by Keras ({node['config'].get('name', kind)})")
    if kind in {"DTypePolicy", "FloatDTypePolicy"} and node["config"]["name"] is not None:  # None: the global policy
        return {**node, "config": {**node["config"], "name": _policy(node["config"]["name"], target)}}
    return {
        key: _policy(value, target) if _is_dtype(key, value) else _replaced(value, target)
        for key, value in node.items()
    }


def _is_dtype(key: str, value: object) -> bool:
    return isinstance(value, str) and (key in {"dtype", "default_policy"} or key.endswith("_dtype"))


def _policy(name: str, target: Target) -> str:
    return target if _FLOAT.fullmatch(name) else name


def _check_layers(rebuilt: LoadedModel, target: Target) -> None:
    staying = {}
    for layer in rebuilt.layers():
        dtypes = {str(layer.compute_dtype), str(layer.variable_dtype)}
        if other := {dtype for dtype in dtypes if _FLOAT.fullmatch(dtype)} - {target}:
            staying[f"'{layer.name}' ({type(layer).__name__})"] = other.pop()
    if staying:
        names = ", ".join(staying)
        which = f"the layer {names} stays" if len(staying) == 1 else f"the layers {names} stay"
        raise CannotRebuild(
            f"{which} {next(iter(staying.values()))} when the policy is {target}; hand the dtype argument on to "
            "Layer.__init__, and save the model again"
        )


def _check_weights(loaded: LoadedModel, rebuilt: LoadedModel) -> None:
    """Make sure that every weight is the one that it was, but for its precision."""
    before, after = loaded.model.weights, rebuilt.model.weights
    if len(before) != len(after):
        raise CannotRebuild(f"it has {len(after)} weights, not {len(before)}")
    for weight, same in zip(before, after, strict=True):
        values = keras.ops.convert_to_numpy(same)
        expected = keras.ops.convert_to_numpy(keras.ops.cast(weight, same.dtype))
        if not np.array_equal(expected, values, equal_nan=expected.dtype.kind == "f"):
            raise CannotRebuild(f"the weight '{weight.path}' does not come back from its file")


def _renamed(signature: Signature, names: Signature) -> Signature:
    """The dtypes and shapes of one signature under the names of another."""
    sides = ((signature.inputs, names.inputs), (signature.outputs, names.outputs))
    inputs, outputs = (
        tuple(spec.model_copy(update={"name": other.name}) for spec, other in zip(specs, others, strict=True))
        for specs, others in sides
    )
    return Signature(inputs=inputs, outputs=outputs)


def _in_target(spec: TensorSpec, target: Target) -> TensorSpec:
    return spec.model_copy(update={"dtype": target}) if _FLOAT.fullmatch(spec.dtype) else spec


def _as_dtype(answer: Any, spec: TensorSpec) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
    return answer if spec.dtype == "string" else tf.cast(answer, spec.dtype)
