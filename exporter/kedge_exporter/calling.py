"""How a Keras model is called with flat tensors, and what its inputs are called. Imports Keras and TensorFlow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import keras
import tensorflow as tf

from kedge_bundle.signature import DType, Tensors, TensorSpec
from kedge_exporter.errors import ModelRefused
from kedge_exporter.naming import structure_names

_DTYPES = get_args(DType)


@dataclass(frozen=True)
class Calling:
    """How to call a model with flat tensors; `notes` are what the user should know of it."""

    call: Callable[[list[Any]], Any]
    inputs: tuple[TensorSpec, ...]
    notes: tuple[str, ...] = ()


@contextmanager
def functions_inlined(*, are_inlined: bool = True) -> Iterator[None]:
    """While entered, functions that TensorFlow would compile apart are plain ops of what calls them.

    Keras lets XLA compile every grouped convolution and, called eagerly, anew in each call: minutes for a ConvNeXt that
    answers in a second.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(run_eagerly=are_inlined)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(run_eagerly=before)


def functional_calling(model: Any, graph: Any) -> Calling:  # noqa: ANN401 (Keras ships no types)
    """How to call a model with a graph: by the names of its inputs, or the keys of the dict that it takes.

    Raises:
        ModelRefused: an input is no dense array, or of a dtype that is not served.
    """
    struct = graph.input
    paths, tensors = zip(*keras.tree.flatten_with_path(struct), strict=True) if graph.inputs else ((), ())
    names = structure_names(paths, [tensor.name for tensor in tensors])
    for name, tensor in zip(names, tensors, strict=True):
        if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
            raise ModelRefused(f"the input '{name}' is sparse or ragged; served tensors are dense arrays")
    return Calling(
        lambda flat: model(keras.tree.pack_sequence_as(struct, flat), training=False),
        tuple(spec_of("input", name, t.dtype, tuple(t.shape)) for name, t in zip(names, tensors, strict=True)),
    )


def subclassed_calling(model: Any, data: Tensors) -> Calling:  # noqa: ANN401
    """How to call a subclassed model: with the shapes that its file records of the first call.

    Raises:
        ModelRefused: it records none, or an input is of a dtype that is not served.
    """
    build = model.get_build_config() or {}
    keywords = build.get("shapes_dict")
    struct = build.get("input_shape") if keywords is None else keywords
    if not struct:
        raise ModelRefused(
            f"the file of the model '{model.name}' records no input shape; call it once on data before model.save(), "
            "or give it a get_build_config()"
        )
    flat = keras.tree.flatten_with_path(_ShapeLeaf.wrap(struct))
    names = structure_names(
        [_argument_path(path, is_keyword=keywords is not None) for path, _ in flat],
        [f"input_{i}" for i in range(len(flat))],
    )
    if len(names) == 1 and len(data) == 1:
        data = {names[0]: next(iter(data.values()))}  # as `user_data.fitted_data` takes it: any name will do
    inputs = tuple(
        spec_of("input", name, str(data[name].dtype) if name in data else "float32", (None, *leaf.shape[1:]))
        for name, (_, leaf) in zip(names, flat, strict=True)
    )

    def call(tensors: list[Any]) -> Any:  # noqa: ANN401
        packed = keras.tree.pack_sequence_as(_ShapeLeaf.wrap(struct), tensors)
        if keywords is None:
            return model(packed, training=False)
        return model(**{name.removesuffix("_shape"): value for name, value in packed.items()}, training=False)

    return Calling(call, inputs, _untold(names, data))


def _untold(names: list[str], data: Tensors) -> tuple[str, ...]:
    """A note on the inputs whose dtype nobody told."""
    untold = [name for name in names if name not in data]
    if not untold:
        return ()
    listing = ", ".join(f"'{name}'" for name in untold)
    return (f"the file of a subclassed model records no dtypes: {listing} taken as float32; --data tells others",)


def _argument_path(path: tuple[object, ...], *, is_keyword: bool) -> tuple[object, ...]:
    """Keras records the shape of the argument `image` as `image_shape`."""
    return (str(path[0]).removesuffix("_shape"), *path[1:]) if is_keyword else path


@dataclass(frozen=True)
class _ShapeLeaf:
    """A shape that `keras.tree` does not take for a nested list."""

    shape: tuple[int | None, ...]

    @classmethod
    def wrap(cls, struct: Any) -> Any:  # noqa: ANN401
        """Replace every shape in nested lists and dicts by a leaf."""
        if isinstance(struct, dict):
            return {name: cls.wrap(value) for name, value in struct.items()}
        if all(size is None or isinstance(size, int) for size in struct):
            return cls(tuple(struct))
        return [cls.wrap(value) for value in struct]


def spec_of(side: str, name: str, dtype: str, shape: tuple[int | None, ...]) -> TensorSpec:
    """What is served under this name; `side` is `input` or `output`, for the message.

    Raises:
        ModelRefused: the dtype is not served.
    """
    dtype = "string" if dtype == "object" else dtype
    if dtype not in _DTYPES:
        raise ModelRefused(
            f"the {side} '{name}' is {dtype}, which the served protocols and numpy do not carry; "
            "cast it to float32 in the model"
        )
    return TensorSpec.model_validate({"name": name, "dtype": dtype, "shape": shape})
