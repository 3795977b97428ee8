"""Precisions and dtypes, open sizes, and axes in another order."""

from typing import Any

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import zoo

_FAMILY = "Precision and shapes"


def _under_policy(policy: str, build: Any) -> Any:
    """Build a model under a dtype policy, and put the old one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)


def _classifier(dtype: str | None = "float32") -> Any:
    image = keras.Input((10, 10, 3), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, activation="relu")(image))
    x = layers.DepthwiseConv2D(3, padding="same", activation="silu")(x)
    x = layers.Dense(8, activation="gelu")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(4, name="kind", dtype=dtype)(x))


@zoo(_FAMILY)
def mixed_float16() -> Any:
    """The mixed_float16 policy, with a float32 answer as Keras advises."""
    return _under_policy("mixed_float16", _classifier)


@zoo(_FAMILY, fast=False)
def mixed_bfloat16() -> Any:
    """The mixed_bfloat16 policy, with a float32 answer."""
    return _under_policy("mixed_bfloat16", _classifier)


@zoo(_FAMILY, fast=False)
def mixed_float16_recurrent() -> Any:
    """An LSTM and an attention under mixed_float16."""

    def build() -> Any:
        steps = keras.Input((5, 6), name="steps")
        x = layers.LayerNormalization()(layers.LSTM(6, return_sequences=True)(steps))
        x = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 3)(x, x))
        return keras.Model(steps, layers.Dense(2, name="answer", dtype="float32")(x))

    return _under_policy("mixed_float16", build)


@zoo(_FAMILY, fast=False)
def float16() -> Any:
    """Weights, arithmetic and answers in float16."""
    return _under_policy("float16", lambda: _classifier(None))


@zoo(_FAMILY, fast=False)
def float64() -> Any:
    """Weights, arithmetic and answers in float64."""

    def build() -> Any:
        values = keras.Input((6,), name="values", dtype="float64")
        x = layers.BatchNormalization()(layers.Dense(8, activation="tanh")(values))
        return keras.Model(values, layers.Dense(3, name="answer")(x))

    return _under_policy("float64", build)


@zoo(_FAMILY)
def integer_inputs() -> Any:
    """Inputs of every integer dtype and of bool."""
    dtypes = ("uint8", "int8", "uint16", "int16", "int32", "int64", "uint32", "bool")
    inputs = [keras.Input((3,), dtype=dtype, name=dtype) for dtype in dtypes]
    numbers = [keras.ops.cast(tensor, "float32") / 8 for tensor in inputs]
    return keras.Model(inputs, layers.Dense(3, name="answer")(layers.Concatenate()(numbers)))


@zoo(_FAMILY)
def dynamic_image() -> Any:
    """Images of any height and width, through strides and pooling, to a map and an answer."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D()(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(6, 3, padding="same")(x)
    return keras.Model(
        image, {"mask": layers.Conv2D(2, 1)(x), "kind": layers.Dense(3)(layers.GlobalAveragePooling2D()(x))}
    )


@zoo(_FAMILY, fast=False)
def dynamic_upsampling() -> Any:
    """A convolution behind the nearest upsampling of images of any height and width."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.UpSampling2D(2)(layers.Conv2D(4, 3, padding="same", activation="relu")(image))
    return keras.Model(image, layers.Conv2D(2, 3, name="after")(x))


@zoo(_FAMILY, fast=False)
def dynamic_bilinear() -> Any:
    """Bilinear upsampling and resizing of images of any height and width."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    return keras.Model(
        image,
        {
            "upsampled": layers.UpSampling2D(2, interpolation="bilinear")(x),
            "resized": layers.Resizing(9, 11)(x),
        },
    )


@zoo(_FAMILY)
def channels_first() -> Any:
    """Channels before height and width."""
    image = keras.Input((3, 12, 12), name="image")
    settings = {"data_format": "channels_first"}
    x = layers.BatchNormalization(axis=1)(layers.Conv2D(6, 3, activation="relu", **settings)(image))
    x = layers.MaxPooling2D(2, **settings)(layers.ZeroPadding2D(1, **settings)(x))
    x = layers.DepthwiseConv2D(3, padding="same", **settings)(x)
    x = layers.AveragePooling2D(2, **settings)(layers.UpSampling2D(2, **settings)(x))
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", **settings)(x)
    return keras.Model(
        image,
        {
            "map": layers.SeparableConv2D(3, 3, **settings)(x),
            "kind": layers.Dense(3)(layers.GlobalAveragePooling2D(**settings)(x)),
        },
    )
