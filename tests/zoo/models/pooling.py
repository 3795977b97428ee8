"""Pooling of every kind, as many windows as matter, one output each."""

from typing import Any

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import zoo

_FAMILY = "Pooling"


@zoo(_FAMILY, fast=False)
def pooling_1d() -> Any:
    """Max, average and global pooling of sequences."""
    steps = keras.Input((11, 4), name="steps")
    return keras.Model(
        steps,
        {
            "max": layers.MaxPooling1D(2)(steps),
            "max_same": layers.MaxPooling1D(3, strides=2, padding="same")(steps),
            "average": layers.AveragePooling1D(2)(steps),
            "average_same": layers.AveragePooling1D(3, strides=2, padding="same")(steps),
            "global_max": layers.GlobalMaxPooling1D()(steps),
            "global_average": layers.GlobalAveragePooling1D(keepdims=True)(steps),
        },
    )


@zoo(_FAMILY)
def pooling_2d() -> Any:
    """Max, average and global pooling of images."""
    image = keras.Input((11, 9, 3), name="image")
    return keras.Model(
        image,
        {
            "max": layers.MaxPooling2D(2)(image),
            "max_same": layers.MaxPooling2D((3, 2), strides=2, padding="same")(image),
            "average": layers.AveragePooling2D(2)(image),
            "average_same": layers.AveragePooling2D((3, 2), strides=2, padding="same")(image),
            "global_max": layers.GlobalMaxPooling2D()(image),
            "global_average": layers.GlobalAveragePooling2D(keepdims=True)(image),
        },
    )


@zoo(_FAMILY)
def pooling_3d() -> Any:
    """Max, average and global pooling of volumes."""
    volume = keras.Input((6, 7, 8, 2), name="volume")
    return keras.Model(
        volume,
        {
            "max": layers.MaxPooling3D(2)(volume),
            "max_same": layers.MaxPooling3D(3, strides=2, padding="same")(volume),
            "average": layers.AveragePooling3D(2)(volume),
            "average_same": layers.AveragePooling3D(3, strides=2, padding="same")(volume),
            "global_max": layers.GlobalMaxPooling3D()(volume),
            "global_average": layers.GlobalAveragePooling3D(keepdims=True)(volume),
        },
    )


@zoo(_FAMILY, fast=False)
def pooling_adaptive() -> Any:
    """Adaptive pooling to a given size, in one, two and three dimensions."""
    steps, image = keras.Input((10, 3), name="steps"), keras.Input((9, 7, 2), name="image")
    volume = keras.Input((5, 6, 7, 2), name="volume")
    return keras.Model(
        [steps, image, volume],
        {
            "average_1d": layers.AdaptiveAveragePooling1D(4)(steps),
            "max_1d": layers.AdaptiveMaxPooling1D(4)(steps),
            "average_2d": layers.AdaptiveAveragePooling2D((4, 3))(image),
            "max_2d": layers.AdaptiveMaxPooling2D((4, 3))(image),
            "average_3d": layers.AdaptiveAveragePooling3D((2, 3, 3))(volume),
            "max_3d": layers.AdaptiveMaxPooling3D((2, 3, 3))(volume),
        },
    )
