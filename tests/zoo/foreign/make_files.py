"""Makes the files that Keras saved elsewhere: `python make_files.py TAG`, once in each environment below.

It runs in throw-away environments, not in Kedge's, so it imports nothing of Kedge. Made with Python 3.11 and

    jax      KERAS_BACKEND=jax         keras==3.15.1  jax==0.10.2
    torch    KERAS_BACKEND=torch       keras==3.15.1  torch==2.15.0
    keras33  KERAS_BACKEND=tensorflow  keras==3.3.3   tensorflow-cpu==2.16.2  numpy==1.26.4
    keras30  KERAS_BACKEND=jax         keras==3.0.5   jax==0.4.38             numpy==1.26.4

For each model there is NAME_TAG.keras, and NAME_TAG.npz with what that backend answered: `<case>/input|output/<name>`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

HERE = Path(__file__).parent
RNG = np.random.default_rng(3)


def perceptron() -> Any:
    """A table through Normalization, Dense and BatchNormalization, to two outputs."""
    table = keras.Input((5,), name="table")
    normalization = layers.Normalization(name="normalize")
    normalization.adapt(RNG.normal(3, 2, (64, 5)).astype("float32"))
    x = layers.BatchNormalization(name="moving")(
        layers.Dense(8, activation="gelu", name="hidden")(normalization(table))
    )
    return keras.Model(
        table,
        [layers.Dense(3, activation="softmax", name="kind")(x), layers.Dense(1, name="amount")(layers.Dropout(0.5)(x))],
    )


def convolutional() -> Any:
    """An image through augmentation, rescaling, convolutions and pooling."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(layers.RandomFlip(name="flip")(image))
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="conv")(x)
    x = layers.SeparableConv2D(6, 3, padding="same", activation="silu", name="separable")(x)
    x = layers.MaxPooling2D(name="pool")(layers.LayerNormalization(name="normalize")(x))
    return keras.Model(image, layers.Dense(4, name="kind")(layers.Flatten(name="flat")(x)))


def recurrent() -> Any:
    """Indices of variable length through an embedding, a bidirectional LSTM and a GRU."""
    words = keras.Input((None,), dtype="int32", name="words")
    x = layers.Embedding(20, 6, name="embedding")(words)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both")(x)
    return keras.Model(words, layers.Dense(3, name="answer")(layers.GRU(5, name="gru")(x)))


def attention() -> Any:
    """A transformer block."""
    steps = keras.Input((6, 8), name="steps")
    x = layers.LayerNormalization(name="first")(steps)
    x = layers.Add(name="add")([steps, layers.MultiHeadAttention(2, 4, name="attention")(x, x)])
    x = layers.Dense(8, activation="gelu", name="hidden")(x)
    return keras.Model(steps, layers.Dense(3, name="answer")(layers.GlobalAveragePooling1D(name="mean")(x)))


def inputs(name: str, rows: int) -> np.ndarray:
    """What the model is asked."""
    return {
        "perceptron": lambda: RNG.normal(3, 2, (rows, 5)).astype("float32"),
        "convolutional": lambda: RNG.uniform(0, 255, (rows, 12, 12, 3)).astype("float32"),
        "recurrent": lambda: RNG.integers(0, 20, (rows, 5 + rows)).astype("int32"),
        "attention": lambda: RNG.normal(size=(rows, 6, 8)).astype("float32"),
    }[name]()


def draw_constants(model: Any) -> None:
    """Draw anew what begins constant: biases, gammas, moving statistics."""
    for layer in model._flatten_layers():
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            value = keras.ops.convert_to_numpy(variable.value)
            if isinstance(layer, layers.Normalization) or value.dtype != np.float32 or np.ptp(value) != 0:
                continue
            low = 0.5 if "variance" in variable.name else float(value.flat[0]) - 0.3
            variable.assign(RNG.uniform(low, low + 0.6, value.shape).astype("float32"))


def make(build: Callable[[], Any], tag: str) -> None:
    """Write one model's two files."""
    keras.utils.set_random_seed(5)
    model = build()
    draw_constants(model)
    model.save(HERE / f"{build.__name__}_{tag}.keras")
    arrays = {}
    for rows in (1, 4):
        asked = inputs(build.__name__, rows)
        answers = model(asked, training=False)
        arrays[f"rows-{rows}/input/{model.inputs[0].name}"] = asked
        for name, answer in zip(model.output_names, answers if isinstance(answers, list) else [answers], strict=True):
            arrays[f"rows-{rows}/output/{name}"] = keras.ops.convert_to_numpy(answer)
    np.savez_compressed(HERE / f"{build.__name__}_{tag}.npz", **arrays)


if __name__ == "__main__":
    for builder in (perceptron, convolutional, recurrent, attention):
        make(builder, sys.argv[1])
