"""Numbers and images on their way into a model: scaling, bins, categories, resizing, spectra."""

from typing import Any

import numpy as np

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import rng, zoo

_FAMILY = "Preprocessing"


@zoo(_FAMILY)
def normalization_adapted() -> Any:
    """Normalization adapted to data of very different scales, per column and per channel."""
    table, image = keras.Input((4,), name="table"), keras.Input((6, 6, 3), name="image")
    columns, channels = layers.Normalization(), layers.Normalization()
    columns.adapt((rng().normal(size=(64, 4)) * [1, 10, 1e-2, 1e3] + [0, 5, 1, -1e3]).astype(np.float32))
    channels.adapt(rng().uniform(0, 255, (32, 6, 6, 3)).astype(np.float32))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(channels(image)))
    return keras.Model([table, image], layers.Dense(3, name="answer")(layers.Concatenate()([columns(table), x])))


@zoo(_FAMILY, fast=False)
def normalization_given() -> Any:
    """Normalization with given statistics, its inverse, over another axis, and as one number."""
    values = keras.Input((2, 3), name="values")
    given = {"mean": [1.0, 2.0, 3.0], "variance": [1.0, 4.0, 9.0]}
    return keras.Model(
        values,
        {
            "given": layers.Normalization(**given)(values),
            "inverted": layers.Normalization(**given, invert=True)(values),
            "first_axis": layers.Normalization(axis=1, mean=[1.0, -1.0], variance=[4.0, 0.25])(values),
            "one_number": layers.Normalization(axis=None, mean=2.0, variance=4.0)(values),
        },
    )


@zoo(_FAMILY, fast=False)
def rescaling() -> Any:
    """Rescaling of an image by numbers and by channel."""
    image = keras.Input((6, 6, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.Rescaling([0.5, 1.0, 2.0], offset=[0.1, 0.2, 0.3])(x)
    return keras.Model(image, layers.Conv2D(2, 3, name="answer")(x))


@zoo(_FAMILY)
def discretization() -> Any:
    """Discretization in each of its output modes, adapted and with given boundaries."""
    values = keras.Input((5,), name="values")
    adapted = layers.Discretization(num_bins=5)
    adapted.adapt(rng().normal(size=(256,)).astype(np.float32))
    bounds = [-1.0, -0.25, 0.0, 0.5, 1.5]
    return keras.Model(
        values,
        {
            "adapted": adapted(values),
            "int": layers.Discretization(bounds)(values),
            "one_hot": layers.Discretization(bounds, output_mode="one_hot")(values[:, :1]),
            "multi_hot": layers.Discretization(bounds, output_mode="multi_hot")(values),
            "count": layers.Discretization(bounds, output_mode="count")(values),
        },
    )


@zoo(_FAMILY)
def category_encoding() -> Any:
    """CategoryEncoding in each of its output modes, with weights for the counts."""
    categories, weights = keras.Input((4,), dtype="int32", name="categories"), keras.Input((4,), name="weights")
    return keras.Model(
        [categories, weights],
        {
            "one_hot": layers.CategoryEncoding(7, output_mode="one_hot")(categories[:, :1]),
            "multi_hot": layers.CategoryEncoding(7, output_mode="multi_hot")(categories),
            "count": layers.CategoryEncoding(7, output_mode="count")(categories),
            "weighted": layers.CategoryEncoding(7, output_mode="count")(categories, count_weights=weights),
        },
    )


@zoo(_FAMILY, fast=False)
def integer_hashing() -> Any:
    """Integers into categories without a table: one_hot of a modulus."""
    numbers = keras.Input((3,), dtype="int64", name="numbers")
    return keras.Model(numbers, layers.Dense(2, name="answer")(keras.ops.one_hot(numbers % 5, 5)))


@zoo(_FAMILY)
def resizing() -> Any:
    """Resizing up, down and to odd sizes, nearest and bilinear, the aspect ratio kept by cropping and by padding."""
    image = keras.Input((8, 10, 3), name="image")
    return keras.Model(
        image,
        {
            "bilinear_up": layers.Resizing(16, 15)(image),
            "bilinear_down": layers.Resizing(4, 5)(image),
            "nearest_up": layers.Resizing(16, 15, interpolation="nearest")(image),
            "nearest_down": layers.Resizing(4, 5, interpolation="nearest")(image),
            "nearest_odd": layers.Resizing(3, 7, interpolation="nearest")(image),
            "cropped": layers.Resizing(6, 6, crop_to_aspect_ratio=True)(image),
            "padded": layers.Resizing(6, 6, pad_to_aspect_ratio=True)(image),
        },
    )


@zoo(_FAMILY, fast=False)
def center_crop() -> Any:
    """CenterCrop of larger and of smaller images."""
    image = keras.Input((8, 10, 3), name="image")
    return keras.Model(image, {"cropped": layers.CenterCrop(5, 6)(image), "enlarged": layers.CenterCrop(12, 12)(image)})


@zoo(_FAMILY)
def embedding() -> Any:
    """Embeddings with and without a mask, and weights shared by input and output (ReversibleEmbedding)."""
    words = keras.Input((6,), dtype="int32", name="words")
    reversible = layers.ReversibleEmbedding(12, 4)
    return keras.Model(
        words,
        {
            "plain": layers.Embedding(12, 4)(words),
            "pooled": layers.GlobalAveragePooling1D()(layers.Embedding(12, 4, mask_zero=True)(words)),
            "reversible": reversible(reversible(words), reverse=True),
        },
    )


@zoo(_FAMILY, fast=False)
def masking() -> Any:
    """Masking that a pooling layer heeds, and as an output."""
    steps = keras.Input((5, 3), name="steps")
    masked = layers.Masking(0.0)(steps)
    return keras.Model(steps, {"masked": masked, "pooled": layers.GlobalAveragePooling1D()(masked)})


@zoo(_FAMILY, fast=False)
def rescaled_uint8() -> Any:
    """Bytes of a camera in, rescaled inside the model."""
    image = keras.Input((12, 12, 3), dtype="uint8", name="image")
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.Dense(2, name="answer")(layers.GlobalAveragePooling2D()(x)))


def _sound() -> dict[str, Any]:
    time = np.arange(800) / 8000
    tones = [np.sin(2 * np.pi * f * time) + 0.1 * rng().normal(size=800) for f in (200, 440, 700, 1500, 2500, 3300)]
    return {"sound": np.stack(tones).astype(np.float32)}


@zoo(_FAMILY, samples=_sound)
def mel_spectrogram() -> Any:
    """Sound into a mel spectrogram."""
    sound = keras.Input((800,), name="sound")
    mel = layers.MelSpectrogram(fft_length=128, sequence_stride=64, sampling_rate=8000, num_mel_bins=16)
    return keras.Model(sound, mel(sound))


@zoo(_FAMILY, fast=False, samples=_sound)
def stft_spectrogram() -> Any:
    """Sound into short-time Fourier spectra, whose weights are those of a convolution."""
    sound = keras.Input((800,), name="sound")
    column = layers.Reshape((800, 1))(sound)
    settings = {"frame_length": 128, "frame_step": 64, "fft_length": 128}
    return keras.Model(
        sound,
        {
            mode: layers.STFTSpectrogram(mode=mode, **settings)(column)
            for mode in ("log", "magnitude", "psd", "real", "imag")
        },
    )


@zoo(_FAMILY, fast=False)
def pipeline() -> Any:
    """A Pipeline of preprocessing layers."""
    image = keras.Input((8, 8, 3), name="image")
    steps = layers.Pipeline(
        [layers.Resizing(12, 12), layers.RandomZoom(0.2), layers.Equalization(), layers.Rescaling(1 / 255)]
    )
    return keras.Model(image, layers.Conv2D(2, 3, name="answer")(steps(image)))
