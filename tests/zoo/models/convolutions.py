"""Convolutions of every kind, upsampling, padding and cropping; a U-Net."""

from typing import Any

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import zoo

_FAMILY = "Convolutions"


@zoo(_FAMILY)
def conv_1d() -> Any:
    """Conv1D: valid, same, causal, dilated, strided, grouped."""
    steps = keras.Input((12, 4), name="steps")
    return keras.Model(
        steps,
        {
            "valid": layers.Conv1D(3, 3)(steps),
            "same": layers.Conv1D(3, 3, padding="same", activation="relu")(steps),
            "causal": layers.Conv1D(3, 3, padding="causal")(steps),
            "causal_dilated": layers.Conv1D(3, 3, padding="causal", dilation_rate=2)(steps),
            "dilated": layers.Conv1D(3, 3, dilation_rate=3)(steps),
            "strided": layers.Conv1D(3, 3, strides=2, padding="same")(steps),
            "grouped": layers.Conv1D(4, 3, groups=2)(steps),
        },
    )


@zoo(_FAMILY, fast=False)
def conv_2d() -> Any:
    """Conv2D: valid, same, strided, dilated."""
    image = keras.Input((11, 9, 4), name="image")
    return keras.Model(
        image,
        {
            "valid": layers.Conv2D(3, 3)(image),
            "same": layers.Conv2D(3, (2, 3), padding="same", activation="relu")(image),
            "strided": layers.Conv2D(3, 3, strides=2)(image),
            "strided_same": layers.Conv2D(3, 3, strides=(2, 3), padding="same")(image),
            "dilated": layers.Conv2D(3, 3, dilation_rate=2)(image),
            "dilated_same": layers.Conv2D(3, 3, dilation_rate=(2, 3), padding="same")(image),
        },
    )


@zoo(_FAMILY)
def conv_2d_grouped() -> Any:
    """Conv2D in groups."""
    image = keras.Input((8, 8, 8), name="image")
    return keras.Model(
        image,
        {
            "grouped": layers.Conv2D(8, 3, groups=4, padding="same")(image),
            "strided": layers.Conv2D(4, 3, groups=2, strides=2)(image),
        },
    )


@zoo(_FAMILY)
def conv_3d() -> Any:
    """Conv3D: valid, same, strided, dilated."""
    volume = keras.Input((6, 7, 8, 2), name="volume")
    return keras.Model(
        volume,
        {
            "valid": layers.Conv3D(3, 3)(volume),
            "same": layers.Conv3D(3, 3, padding="same", activation="relu")(volume),
            "strided": layers.Conv3D(3, 3, strides=2, padding="same")(volume),
            "dilated": layers.Conv3D(3, 2, dilation_rate=2)(volume),
        },
    )


@zoo(_FAMILY, fast=False)
def conv_1d_transposed() -> Any:
    """Conv1DTranspose."""
    steps = keras.Input((6, 4), name="steps")
    return keras.Model(
        steps,
        {
            "valid": layers.Conv1DTranspose(3, 3)(steps),
            "strided": layers.Conv1DTranspose(3, 3, strides=2, padding="same")(steps),
        },
    )


@zoo(_FAMILY)
def conv_2d_transposed() -> Any:
    """Conv2DTranspose: valid, strided, same, dilated, with output padding beyond what its kernel reaches."""
    image = keras.Input((5, 6, 4), name="image")
    return keras.Model(
        image,
        {
            "valid": layers.Conv2DTranspose(3, 3)(image),
            "strided": layers.Conv2DTranspose(3, 3, strides=2, padding="same")(image),
            "strided_valid": layers.Conv2DTranspose(3, 2, strides=2, activation="relu")(image),
            "larger": layers.Conv2DTranspose(3, 3, strides=2, output_padding=1)(image),
            "dilated": layers.Conv2DTranspose(3, 3, dilation_rate=2)(image),
        },
    )


@zoo(_FAMILY, fast=False)
def conv_3d_transposed() -> Any:
    """Conv3DTranspose."""
    volume = keras.Input((3, 4, 5, 2), name="volume")
    return keras.Model(
        volume,
        {
            "valid": layers.Conv3DTranspose(3, 3)(volume),
            "strided": layers.Conv3DTranspose(3, 3, strides=2, padding="same")(volume),
        },
    )


@zoo(_FAMILY)
def separable() -> Any:
    """SeparableConv1D and SeparableConv2D, strided and dilated."""
    steps, image = keras.Input((12, 4), name="steps"), keras.Input((10, 10, 3), name="image")
    return keras.Model(
        [steps, image],
        {
            "steps": layers.SeparableConv1D(3, 3)(steps),
            "steps_strided": layers.SeparableConv1D(3, 3, strides=2, padding="same", depth_multiplier=2)(steps),
            "image": layers.SeparableConv2D(4, 3, activation="relu")(image),
            "image_strided": layers.SeparableConv2D(4, 3, strides=2, padding="same", depth_multiplier=2)(image),
            "image_dilated": layers.SeparableConv2D(4, 3, dilation_rate=2)(image),
        },
    )


@zoo(_FAMILY, fast=False)
def depthwise() -> Any:
    """DepthwiseConv1D and DepthwiseConv2D, strided and dilated."""
    steps, image = keras.Input((12, 4), name="steps"), keras.Input((10, 10, 3), name="image")
    return keras.Model(
        [steps, image],
        {
            "steps": layers.DepthwiseConv1D(3)(steps),
            "steps_strided": layers.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2)(steps),
            "image": layers.DepthwiseConv2D(3)(image),
            "image_strided": layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(image),
            "image_dilated": layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(image),
        },
    )


@zoo(_FAMILY)
def upsampling() -> Any:
    """UpSampling1D, 2D and 3D, nearest and bilinear."""
    steps, image = keras.Input((5, 3), name="steps"), keras.Input((5, 6, 3), name="image")
    volume = keras.Input((3, 4, 5, 2), name="volume")
    return keras.Model(
        [steps, image, volume],
        {
            "steps": layers.UpSampling1D(3)(steps),
            "nearest": layers.UpSampling2D((2, 3))(image),
            "bilinear": layers.UpSampling2D(2, interpolation="bilinear")(image),
            "volume": layers.UpSampling3D(2)(volume),
        },
    )


@zoo(_FAMILY)
def padding_and_cropping() -> Any:
    """ZeroPadding and Cropping in one, two and three dimensions."""
    steps, image = keras.Input((8, 3), name="steps"), keras.Input((8, 9, 3), name="image")
    volume = keras.Input((5, 6, 7, 2), name="volume")
    return keras.Model(
        [steps, image, volume],
        {
            "zero_padding_1d": layers.ZeroPadding1D((1, 2))(steps),
            "zero_padding_2d": layers.ZeroPadding2D(((1, 2), (0, 3)))(image),
            "zero_padding_3d": layers.ZeroPadding3D(1)(volume),
            "cropping_1d": layers.Cropping1D((1, 2))(steps),
            "cropping_2d": layers.Cropping2D(((1, 2), (0, 3)))(image),
            "cropping_3d": layers.Cropping3D(1)(volume),
        },
    )


@zoo(_FAMILY, fast=False)
def unet() -> Any:
    """A U-Net of three levels, with bilinear and with transposed upsampling."""
    image = keras.Input((32, 32, 3), name="image")
    skips, x = [], image
    for filters in (4, 8):
        x = _block(x, filters)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = _block(x, 12)
    x = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(x), skips[1]])
    x = _block(x, 8)
    x = layers.Concatenate()([layers.Conv2DTranspose(4, 2, strides=2)(x), skips[0]])
    return keras.Model(image, layers.Conv2D(2, 1, activation="softmax", name="mask")(_block(x, 4)))


def _block(x: Any, filters: int) -> Any:
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
    return x
