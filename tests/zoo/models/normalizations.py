"""Layers that normalize activations; the Normalization of inputs is with the preprocessing."""

from typing import Any

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import zoo

_FAMILY = "Normalizations"


@zoo(_FAMILY)
def batch_normalization() -> Any:
    """Over the last axis, over another, without scale and centre, of rank 2 to 5."""
    row, image = keras.Input((6,), name="row"), keras.Input((5, 5, 4), name="image")
    volume = keras.Input((3, 3, 3, 2), name="volume")
    return keras.Model(
        [row, image, volume],
        {
            "row": layers.BatchNormalization()(row),
            "image": layers.BatchNormalization(epsilon=1e-2)(image),
            "first_axis": layers.BatchNormalization(axis=1)(image),
            "plain": layers.BatchNormalization(scale=False, center=False)(image),
            "volume": layers.BatchNormalization()(volume),
        },
    )


@zoo(_FAMILY, fast=False)
def layer_normalization() -> Any:
    """Over one axis and over several, with and without scale and centre."""
    steps = keras.Input((5, 6), name="steps")
    return keras.Model(
        steps,
        {
            "last": layers.LayerNormalization()(steps),
            "both": layers.LayerNormalization(axis=(1, 2))(steps),
            "plain": layers.LayerNormalization(scale=False, center=False)(steps),
        },
    )


@zoo(_FAMILY)
def other_normalizations() -> Any:
    """Group, instance, RMS and unit normalization."""
    image = keras.Input((5, 5, 6), name="image")
    return keras.Model(
        image,
        {
            "group": layers.GroupNormalization(3)(image),
            "instance": layers.GroupNormalization(-1)(image),
            "rms": layers.RMSNormalization()(image),
            "unit": layers.UnitNormalization()(image),
            "unit_axes": layers.UnitNormalization(axis=(1, 2))(image),
        },
    )


@zoo(_FAMILY, fast=False)
def spectral_normalization() -> Any:
    """Spectral normalization around a convolution and a Dense layer."""
    image = keras.Input((6, 6, 3), name="image")
    x = layers.SpectralNormalization(layers.Conv2D(4, 3, activation="relu"))(image)
    return keras.Model(image, layers.SpectralNormalization(layers.Dense(3), name="answer")(layers.Flatten()(x)))
