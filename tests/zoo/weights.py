"""Draws weights such that answers vary: a network as it comes from its constructor answers nearly the same to anything.

Kernels are left as their seeded initializers drew them. What begins constant (biases, gammas, moving statistics, the
layer scales of ConvNeXt) is drawn; batch normalizations of deep networks then see one batch of images, as in training.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.zoo.lazy import keras, layers

_LEFT_ALONE = (
    "Normalization",
    "SeedGenerator",
    "CategoryEncoding",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
)
"""Layers whose weights say what they have seen or count: their builders adapt them."""


def vary(model: Any, seed: int = 7, gain: float = 1.0) -> Any:
    """Draw every weight of the model that is constant; the model itself.

    Args:
        model: a built Keras model.
        seed: of the draw.
        gain: the mean of what begins as one, and five times the deviation of what is drawn. Below one it is for deep
            networks: blocks add less to what they are given, as in trained ones, and betas are such that most values
            pass the rectifiers. Batch normalization and a rectifier at their first values make a rounding error larger
            by a fifth, in every one of a hundred layers (Yang et al., A Mean Field Theory of Batch Normalization,
            2019).
    """
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if type(layer).__name__ in _LEFT_ALONE:
            continue
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            value = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(variable.value, "float64")))
            if "float" in str(variable.dtype) and value.size and np.ptp(value) == 0:
                variable.assign(_drawn(variable.name, value, gain, rng))
    return model


def _drawn(name: str, value: NDArray[np.float64], gain: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Values about the constant that a weight began with; variances stay positive."""
    constant = float(value.flat[0])
    if "variance" in name:
        return rng.uniform(0.5, 1.5, value.shape)
    if 0 < abs(constant) < 0.1:
        constant = 1.0  # ConvNeXt begins its layer scales at 1e-6: nothing of a block would come through
    if gain < 1 and name == "beta":
        constant = 2.0
    return constant * gain + rng.normal(0.0, 0.2 * gain, value.shape)


def calibrate(model: Any, batch: NDArray[Any]) -> Any:
    """Let every batch normalization see one batch, so that a deep network neither saturates nor fades; the model."""
    normalizations = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0
    model(batch, training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum
    return model
