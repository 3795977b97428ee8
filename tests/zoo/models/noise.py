"""What acts while training and must do nothing at inference: dropout, noise, augmentation."""

import importlib
from typing import Any

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import zoo

_FAMILY = "Noise and augmentation"

_FACTOR = {"factor": 0.3}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "RandomBrightness": _FACTOR,
    "RandomColorDegeneration": _FACTOR,
    "RandomColorJitter": dict.fromkeys(
        ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor"), 0.2
    ),
    "RandomContrast": _FACTOR,
    "RandomCrop": {"height": 6, "width": 6},
    "RandomHue": _FACTOR,
    "RandomPosterization": {"factor": 4},  # bits
    "RandomRotation": _FACTOR,
    "RandomSaturation": _FACTOR,
    "RandomSharpness": _FACTOR,
    # Keras 3.15 does not read back the range that it makes of a single number.
    "RandomShear": {"x_factor": (0.0, 0.2), "y_factor": (0.0, 0.2)},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
}
"""What layers must be told; the others come as they are."""


def augmentations() -> list[str]:
    """Every `Random*` layer that Keras has, found when the model is built."""
    return sorted(name for name in dir(importlib.import_module("keras.layers")) if name.startswith("Random"))


@zoo(_FAMILY, fast=False)
def dropouts() -> Any:
    """Every kind of dropout and noise."""
    steps, image = keras.Input((5, 4), name="steps"), keras.Input((4, 4, 3), name="image")
    volume = keras.Input((3, 3, 3, 2), name="volume")
    return keras.Model(
        [steps, image, volume],
        {
            "dropout": layers.Dropout(0.5)(steps),
            "gaussian_dropout": layers.GaussianDropout(0.5)(steps),
            "gaussian_noise": layers.GaussianNoise(1.0)(steps),
            "alpha_dropout": layers.AlphaDropout(0.5)(steps),
            "spatial_dropout_1d": layers.SpatialDropout1D(0.5)(steps),
            "spatial_dropout_2d": layers.SpatialDropout2D(0.5)(image),
            "spatial_dropout_3d": layers.SpatialDropout3D(0.5)(volume),
        },
    )


@zoo(_FAMILY)
def random_layers() -> Any:
    """Every Random* layer of Keras, one output each."""
    image = keras.Input((8, 8, 3), name="image")
    return keras.Model(
        image, {name: getattr(layers, name)(**_ARGUMENTS.get(name, {}))(image) for name in augmentations()}
    )


@zoo(_FAMILY)
def mixing_augmentations() -> Any:
    """Augmentations with other names: RandAugment, AugMix, MixUp, CutMix."""
    image = keras.Input((8, 8, 3), name="image")
    return keras.Model(
        image,
        {
            "rand_augment": layers.RandAugment()(image),
            "aug_mix": layers.AugMix()(image),
            "mix_up": layers.MixUp()(image),
            "cut_mix": layers.CutMix()(image),
        },
    )


@zoo(_FAMILY)
def augmented_classifier() -> Any:
    """Augmentation in front of a classifier, as tutorials build it."""
    image = keras.Input((16, 16, 3), name="image")
    x = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(image))
    x = layers.GaussianNoise(0.5)(layers.Rescaling(1 / 255)(layers.RandomContrast(0.2)(x)))
    x = layers.Conv2D(4, 3, activation="relu")(x)
    return keras.Model(image, layers.Dense(3, name="kind")(layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))))


@zoo(_FAMILY, fast=False)
def clahe() -> Any:
    """ContrastLimitedAdaptiveHistogramEqualization, which acts at inference as well."""
    image = keras.Input((16, 16, 3), dtype="uint8", name="image")
    layer = layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 2), name="equalized")
    return keras.Model(image, layer(keras.ops.cast(image, "float32")))


@zoo(_FAMILY, fast=False)
def auto_contrast() -> Any:
    """AutoContrast and Solarization, which act at inference as well."""
    # Bytes: the contrast of an image that is nearly of one colour would be made of rounding errors.
    image = keras.Input((8, 8, 3), dtype="uint8", name="image")
    bytes_like = keras.ops.cast(image, "float32")
    return keras.Model(
        image,
        {
            "auto_contrast": layers.AutoContrast()(bytes_like),
            "solarization": layers.Solarization(addition_factor=0.1, threshold_factor=0.5)(bytes_like),
        },
    )
