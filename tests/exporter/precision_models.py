# ruff: noqa: ANN401 (Keras ships no types)
"""Models in other precisions, of odd names, with tables; in memory, each a function without arguments."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

RNG = np.random.default_rng(3)


def mixed(policy: str) -> keras.Model:
    """A small network with statistics, a nested model and a wrapper, its layers under a global policy."""
    keras.config.set_dtype_policy(policy)
    image = keras.Input((8, 8, 3), name="image", dtype="float32")
    normalization = layers.Normalization()
    normalization.adapt(RNG.normal(3, 2, (20, 8, 8, 3)).astype(np.float32))
    x = layers.Conv2D(4, 3, activation="silu")(normalization(image))
    x = layers.BatchNormalization()(x)
    x = layers.Bidirectional(layers.LSTM(3))(layers.Reshape((36, 4))(x))
    nest = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="gelu")], name="nest")
    answer = layers.Dense(3, dtype="float32", name="answer")(nest(x))
    keras.config.set_dtype_policy("float32")
    return keras.Model(image, answer, name=policy.removeprefix("mixed_").rstrip("16"))


def mixed_float16() -> keras.Model:
    return mixed("mixed_float16")


def mixed_bfloat16() -> keras.Model:
    return mixed("mixed_bfloat16")


def float16() -> keras.Model:
    """Half precision in and out, two outputs."""
    values = keras.Input((6,), name="values", dtype="float16")
    outputs = [layers.Dense(3, dtype="float16", name=name)(values) for name in ("first", "second")]
    return keras.Model(values, outputs)


def float64() -> keras.Model:
    values = keras.Input((6,), name="values", dtype="float64")
    normalization = layers.Normalization(dtype="float64")
    normalization.adapt(RNG.normal(3, 2, (20, 6)))
    return keras.Model(values, layers.Dense(3, dtype="float64", name="answer")(normalization(values)))


def policy_map() -> keras.Model:
    """One layer of a nested model under a policy of its own, in a map."""
    policies = keras.dtype_policies.DTypePolicyMap(default_policy="mixed_float16", policy_map={})
    values = keras.Input((6,), name="values")
    x = layers.Dense(4, dtype=policies)(values)
    x = layers.Dense(4, activation="tanh", dtype=keras.dtype_policies.DTypePolicy("mixed_float16"))(x)
    return keras.Model(values, layers.Dense(2, name="answer")(x))


def single_ops() -> keras.Model:
    """Half precision in ops between layers only."""
    values = keras.Input((6,), name="values")
    halved = keras.ops.exp(keras.ops.cast(values, "float16"))
    return keras.Model(values, layers.Dense(2, name="answer")(keras.ops.cast(halved, "float32")))


def looked_up() -> keras.Model:
    """Words and numbers through tables into a half-precision embedding: the vocabularies must come back as well."""
    word, number = keras.Input((2,), dtype="string", name="word"), keras.Input((2,), dtype="int64", name="number")
    words = layers.StringLookup(vocabulary=["a", "ü", "cc"])(word)
    numbers = layers.IntegerLookup(vocabulary=[5, -3, 2**40, 9])(number)
    embedding = layers.Embedding(10, 3, dtype="mixed_float16")
    x = layers.Concatenate()([layers.Flatten()(embedding(words)), layers.Flatten()(embedding(numbers))])
    return keras.Model([word, number], layers.Dense(2, name="answer")(x))


def odd_names() -> keras.Model:
    """Names that are no scopes of TensorFlow."""
    values = keras.Input((4,), name="my values")
    nest = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="> in")], name="inner model")
    x = layers.LayerNormalization(name="_first")(nest(layers.Dense(3, name="layer one: é*")(values)))
    return keras.Model(values, layers.Dense(2, name="the answer!")(x), name="my model (v2)")


def open_images() -> keras.Model:
    """Bilinear upsampling of images of any size, by a layer and by an op."""
    image = keras.Input((None, None, 4), name="image")
    x = layers.UpSampling2D(interpolation="bilinear")(layers.Conv2D(2, 3)(image))
    return keras.Model(image, ResizeLike(name="like")([x, image]), name="open")


def upsampled() -> keras.Model:
    """A decoder of images of one size, whose shapes the converter would have to follow through eight repetitions."""
    image = keras.Input((4, 4, 8), name="image")
    x = shortcut = image
    for channels in (8, 4, 3):
        x = layers.UpSampling2D()(layers.Conv2DTranspose(channels, 3, padding="same")(x))
        x = shortcut = layers.Add()([x, layers.Conv2D(channels, 1)(layers.UpSampling2D()(shortcut))])
    return keras.Model(image, layers.UpSampling2D((1, 3))(x), name="upsampled")


def upsampled_open() -> keras.Model:
    """Nearest upsampling of images of any size."""
    image = keras.Input((None, None, 4), name="image")
    x = layers.Conv2D(3, 1)(layers.UpSampling2D()(image))
    return keras.Model(image, layers.Conv2D(2, 1)(layers.UpSampling2D((2, 1))(x)), name="upsampled_open")


@keras.saving.register_keras_serializable("own")
class ResizeLike(layers.Layer):
    """Resizes one image to the size of another."""

    def call(self, inputs: list[Any]) -> Any:
        return keras.ops.image.resize(inputs[0], keras.ops.shape(inputs[1])[1:3])

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (*input_shape[1][:3], input_shape[0][3])


@keras.saving.register_keras_serializable("own")
class Stubborn(layers.Layer):
    """Computes in half precision whatever it is told."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**(settings | {"dtype": "float16"}))

    def call(self, inputs: Any) -> Any:
        return inputs * 2


def stubborn() -> keras.Model:
    values = keras.Input((4,), name="values")
    return keras.Model(values, layers.Dense(2, name="answer")(Stubborn(name="mule")(values)))


def quantized() -> keras.Model:
    """Quantized by Keras, with half precision elsewhere."""
    values = keras.Input((4,), name="values")
    dense = layers.Dense(4)
    model = keras.Model(values, layers.Dense(2, dtype="mixed_float16", name="answer")(dense(values)))
    dense.quantize("int8")
    return model


CONVERTED: tuple[Callable[[], keras.Model], ...] = (
    mixed_float16, mixed_bfloat16, float16, float64, policy_map, single_ops, looked_up, odd_names, open_images,
    upsampled, upsampled_open,
)  # fmt: skip
REFUSED: tuple[Callable[[], keras.Model], ...] = (stubborn, quantized)
