"""Builds every test model as a real `.keras` file: `python -m tests.exporter.models DIRECTORY`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from tests.exporter.own_layers import Captioner, OneRowGraph, Pair, Scorer

RNG = np.random.default_rng(0)


def cnn() -> keras.Model:
    """An adapted Normalization first, dropout left in."""
    pixels = keras.Input((8, 8, 1), name="pixels")
    normalization = layers.Normalization(name="normalize")
    normalization.adapt(RNG.uniform(0, 16, (64, 8, 8, 1)).astype(np.float32))
    x = layers.Conv2D(4, 3, activation="relu")(normalization(pixels))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return keras.Model(pixels, layers.Dense(10, activation="softmax", name="digit")(x))


def sequential() -> keras.Model:
    """What converters stumble over: silu has a gradient of its own, gelu needs Erfc; the names are no arguments'."""
    return keras.Sequential(
        [
            keras.Input((4,), name="my values-1.x"),
            layers.Dense(8, activation="silu"),
            layers.Dense(3, activation="gelu", name="1.answer"),
        ]
    )


def dicts() -> keras.Model:
    """Dicts in and out, whose order is not the alphabet's; indices of an embedding, of variable length."""
    zeta, alpha = keras.Input((4,), name="zeta"), keras.Input((None,), name="alpha", dtype="int32")
    tokens = layers.GlobalAveragePooling1D()(layers.Embedding(20, 5)(alpha))
    joined = layers.Concatenate()([zeta, tokens])
    outputs = {"z out": layers.Dense(2)(joined), "a": layers.Dense(3)(joined)}
    return keras.Model({"zeta": zeta, "alpha": alpha}, outputs)


def lstm() -> keras.Model:
    """A recurrent model of variable length: TFLite takes it with a fixed batch only."""
    return keras.Sequential([keras.Input((None, 3), name="steps"), layers.LSTM(4), layers.Dense(2, name="next")])


def augmented() -> keras.Model:
    """Augmentation left in the model must do nothing at inference."""
    image = keras.Input((16, 16, 3), name="image", dtype="uint8")
    augmentation = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)], name="augmentation")
    x = augmentation(image)
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(x)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, groups=1)(x))
    return keras.Model(image, layers.Dense(2, name="label")(layers.GlobalAveragePooling2D()(x)))


def grouped() -> keras.Model:
    """A grouped convolution, which Keras compiles apart."""
    image = keras.Input((8, 8, 8), name="image")
    x = layers.Conv2D(8, 3, groups=4)(image)
    return keras.Model(image, layers.GlobalAveragePooling2D(name="pooled")(x))


def nested() -> keras.Model:
    """A model inside a model, called twice; a dict of lists; an input that is an output; a normalization inside."""
    values = keras.Input((4,), name="values")
    normalization = layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 9.0, 16.0], name="inner")
    inner = keras.Sequential([keras.Input((4,)), normalization, layers.Dense(3)], name="nest")
    return keras.Model(values, {"boxes": [inner(values), inner(values)], "id": values})


def four_rows() -> keras.Model:
    """A batch that the model itself fixes; a batch normalization that has seen training, first."""
    values = keras.Input((3,), batch_size=4, name="values")
    normalization = layers.BatchNormalization(name="moving")
    normalized = normalization(values)
    normalization.moving_mean.assign([1.0, 2.0, 3.0])
    normalization.moving_variance.assign([1.0, 4.0, 9.0])
    return keras.Model(values, layers.Dense(2, name="answer")(normalized))


def deferred() -> keras.Model:
    """A Sequential without an Input, whose shape is known from its first call."""
    model = keras.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2, name="answer")])
    model(np.zeros((2, 5), np.float32))
    return model


def one_row() -> keras.Model:
    """Converts for any number of rows, but then runs with one only."""
    values = keras.Input((3,), name="values")
    return keras.Model(values, layers.Dense(2, name="answer")(OneRowGraph()(values)))


def scorer() -> keras.Model:
    model = Scorer()
    model(np.zeros((2, 5), np.float32))
    return model


def pair() -> keras.Model:
    model = Pair()
    model([np.zeros((2, 5), np.float32), np.zeros((2, 3), np.float32)])
    return model


def captioner() -> keras.Model:
    model = Captioner()
    model(image=np.zeros((2, 5), np.float32), tokens=np.zeros((2, 6), np.int32))
    return model


def words() -> keras.Model:
    """Looks words up in a table."""
    word = keras.Input((1,), dtype="string", name="word")
    return keras.Model(word, layers.Embedding(8, 2)(layers.StringLookup(vocabulary=["a", "b"], name="look_up")(word)))


def known_words() -> keras.Model:
    """Looks up words of which none may be unknown, and codes likewise."""
    word, code = keras.Input((2,), dtype="string", name="word"), keras.Input((1,), dtype="int64", name="code")
    words = layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0)(word)
    codes = layers.IntegerLookup(vocabulary=[5, 9, 12], num_oov_indices=0)(code)
    joined = layers.Flatten()(layers.Concatenate(axis=1)([words, codes]))
    return keras.Model([word, code], layers.Embedding(8, 2, name="embedding")(joined))


def chaotic() -> keras.Model:
    """Grows the rounding of large inputs beyond the budget, in Keras as in every format."""
    values = keras.Input((4096,), name="values")
    sums = keras.ops.sum(keras.ops.reshape(values, (-1, 4, 1024)), axis=-1)
    return keras.Model(values, layers.Identity(name="wave")(keras.ops.sin(sums)))


def half() -> keras.Model:
    """Answers in bfloat16."""
    return keras.Sequential([keras.Input((3,)), layers.Dense(2, dtype="bfloat16", name="half")])


def float16_gelu() -> keras.Model:
    """The exact gelu in float16: the constant of Erfc's ONNX form must be of the same dtype."""
    values = keras.Input((6,), name="values")
    return keras.Model(values, layers.Dense(3, activation="gelu", dtype="float16", name="answer")(values))


def echo() -> keras.Model:
    """An input that is an output as well, under the same name; ONNX names every tensor once."""
    key = keras.Input((3,), name="key")
    return keras.Model(key, [key, layers.Dense(2, name="answer")(key)])


def stateful() -> keras.Model:
    return keras.Sequential([keras.Input((4, 3), batch_size=1), layers.LSTM(2, stateful=True, name="memory")])


def bytecode() -> keras.Model:
    """Holds Python bytecode."""
    values = keras.Input((3,))
    return keras.Model(values, layers.Lambda(lambda x: x + 1)(values))


BUILDERS: tuple[Callable[[], Any], ...] = (
    cnn, sequential, dicts, lstm, augmented, grouped, nested, four_rows, deferred, one_row, scorer, pair, captioner,
    echo, float16_gelu, words, known_words, chaotic, half, stateful, bytecode,
)  # fmt: skip


def build_all(directory: Path) -> None:
    for build in BUILDERS:
        keras.utils.clear_session()  # names that Keras makes up do not depend on the other models
        keras.utils.set_random_seed(0)
        build().save(directory / f"{build.__name__}.keras")
    cnn().save(directory / "legacy.h5")


if __name__ == "__main__":
    build_all(Path(sys.argv[1]))
