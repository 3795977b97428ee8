"""Models with heads and weights of every kind, in memory; each a function without arguments."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers


def linear() -> keras.Model:
    """The last layer is linear and has no bias: its answers grow as its kernel does."""
    values = keras.Input((6,), name="values")
    x = layers.Dense(5, activation="relu", bias_initializer="ones")(values)
    return keras.Model(values, layers.Dense(3, use_bias=False, name="answer")(x))


def dense() -> keras.Model:
    values = keras.Input((6,), name="values")
    x = layers.Dense(5, activation="relu", bias_initializer="ones")(values)
    return keras.Model(values, layers.Dense(4, activation="softmax", name="class", bias_initializer="uniform")(x))


def pixels() -> keras.Model:
    """Heads of ranks 2 to 4, softmax over another axis, one moved on by Reshape, one output without a head."""
    image = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="trunk")(image)
    segments = layers.Conv2D(3, 1, activation="softmax")(x)
    outputs = [
        layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x),
        layers.Conv2D(3, 1, activation="softmax", name="segments")(x),
        layers.Reshape((16, 3), name="boxes")(segments),
        layers.Softmax(axis=1, name="columns")(layers.Conv2D(2, 1)(x)),
        layers.Activation("sigmoid", name="score")(layers.Dense(1)(layers.GlobalAveragePooling2D()(x))),
        layers.Conv2D(2, 1, name="plain")(x),
    ]
    return keras.Model(image, outputs)


def shared() -> keras.Model:
    """Probabilities and logits that others read as well."""
    values = keras.Input((6,), name="values")
    raw = layers.Dense(4, name="raw")(values)
    chance = layers.Softmax(name="chance")(raw)
    doubled = layers.Rescaling(2.0, name="doubled")(chance)
    folded = layers.Reshape((2, 2), name="folded")(chance)
    return keras.Model(values, [raw, chance, doubled, folded, layers.Rescaling(3.0, name="tripled")(folded)])


def mixed_float16() -> keras.Model:
    """Float32 only at the end, as is advised."""
    keras.config.set_dtype_policy("mixed_float16")
    values = keras.Input((6,), name="values")
    x = layers.Dense(5, activation="relu")(values)
    model = keras.Model(values, layers.Dense(4, activation="softmax", dtype="float32", name="class")(x))
    keras.config.set_dtype_policy("float32")
    return model


def half() -> keras.Model:
    """A head in float16, which TFLite computes in float32 and casts."""
    values = keras.Input((6,), name="values")
    return keras.Model(values, layers.Dense(4, activation="softmax", dtype="mixed_float16", name="class")(values))


def double() -> keras.Model:
    values = keras.Input((6,), name="values", dtype="float64")
    return keras.Model(values, layers.Dense(4, activation="softmax", dtype="float64", name="class")(values))


def recurrent() -> keras.Model:
    """Every kernel is inside of a loop."""
    return keras.Sequential([keras.Input((None, 3), name="steps"), layers.LSTM(4, return_sequences=True, name="next")])


def recurrent_head() -> keras.Model:
    """A loop before the head; TFLite takes one row at a time."""
    recurrent = layers.Bidirectional(layers.GRU(4))
    return keras.Sequential([keras.Input((5, 3), name="steps"), recurrent, layers.Dense(2, activation="softmax")])


def nested() -> keras.Model:
    """A model with a head inside a model, called twice; attention before it."""
    inside = keras.Input((4, 6))
    attended = layers.MultiHeadAttention(2, 3)(inside, inside)
    chance = layers.Dense(3, activation="softmax", bias_initializer="uniform")(layers.Flatten()(attended))
    inner = keras.Model(inside, chance, name="inner")
    first, second = keras.Input((4, 6), name="first"), keras.Input((4, 6), name="second")
    return keras.Model([first, second], {"one": inner(first), "two": inner(second)})


def grouped() -> keras.Model:
    """The last kernel stands in a function of its own, which Keras compiles apart."""
    image = keras.Input((5, 5, 4), name="image")
    return keras.Model(image, layers.Conv2D(4, 3, groups=2, use_bias=False, name="answer")(image))


def table() -> keras.Model:
    """No matrix product: the embedding is the weight; words go through a table that lies beside the graph."""
    word = keras.Input((3,), dtype="string", name="word")
    rows = layers.Embedding(5, 4)(layers.StringLookup(vocabulary=["a", "b", "c"])(word))
    return keras.Model(word, layers.GlobalAveragePooling1D(name="mean")(rows))


def untrained() -> keras.Model:
    """The last kernel is zero, which no factor changes."""
    values = keras.Input((6,), name="values")
    x = layers.Dense(5, activation="relu")(values)
    return keras.Model(values, layers.Dense(3, kernel_initializer="zeros", name="answer")(x))


def preprocessing() -> keras.Model:
    image = keras.Input((4, 4, 3), name="image")
    return keras.Model(image, layers.Rescaling(1 / 255, offset=-0.5, name="scaled")(image))


MODELS: tuple[Callable[[], Any], ...] = (
    linear, dense, pixels, shared, mixed_float16, half, double, recurrent, recurrent_head, nested, grouped, table,
    untrained, preprocessing,
)  # fmt: skip


def example(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Values for an input; words for strings."""
    if dtype == "string":
        return rng.choice(np.array([b"a", b"b", b"c", b"other"], object), shape)
    return rng.normal(0, 1, shape).astype(dtype)
