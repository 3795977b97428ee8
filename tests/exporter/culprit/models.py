"""Small networks with layers whose names no other layer's begins with, so that a fault finds its nodes by them."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers


def convolutions() -> Any:  # noqa: ANN401 (Keras ships no types)
    """A batch normalization that becomes part of a convolution, and one behind a depthwise that ONNX keeps."""
    image = keras.Input((10, 10, 3), name="image")
    x = layers.Conv2D(6, 3, use_bias=False, name="folded")(image)
    x = layers.ReLU(name="rectified")(layers.BatchNormalization(name="folding")(x))
    x = layers.Conv2D(8, 3, activation="relu", name="biased")(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, padding="same", name="depthwise")(x)
    x = layers.BatchNormalization(name="kept")(x)
    x = layers.MaxPooling2D(name="pooled")(x)
    x = layers.Permute((2, 1, 3), name="turned")(x)
    x = layers.Dropout(0.5, name="dropped")(layers.Flatten(name="flat")(x))
    return keras.Model(image, layers.Dense(4, name="head")(x), name="convolutions")


def dense() -> Any:  # noqa: ANN401
    """Values beyond the range of float16, between two layer normalizations."""
    values = keras.Input((12,), name="values")
    x = layers.Dense(16, activation="relu", name="wide")(values)
    x = layers.LayerNormalization(name="normalized")(x)
    x = layers.Rescaling(2e5, offset=1.0, name="enlarged")(x)
    x = layers.LayerNormalization(name="tamed")(x)
    return keras.Model(values, layers.Dense(3, activation="softmax", name="head")(x), name="dense")


def branches() -> Any:  # noqa: ANN401
    """A layer that is called twice, two branches that meet, and a model inside."""
    values = keras.Input((8,), name="values")
    shared = layers.Dense(8, activation="tanh", name="shared")
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="inside")], name="nest")
    left = inner(shared(values))
    right = layers.Dense(8, name="right")(values)
    joined = layers.Add(name="joined")([left, right])
    return keras.Model(values, [shared(joined), layers.Dense(2, name="head")(joined)], name="branches")


def recurrent() -> Any:  # noqa: ANN401
    steps = keras.Input((5, 3), name="steps")
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both")(steps)
    x = layers.GRU(6, name="gated")(x)
    return keras.Model(steps, layers.Dense(2, name="head")(x), name="recurrent")


MODELS: dict[str, Callable[[], Any]] = {build.__name__: build for build in (convolutions, dense, branches, recurrent)}
