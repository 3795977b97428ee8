"""Every activation: those that Keras names, found when the model is built, and the layers."""

import importlib
from collections.abc import Iterator
from typing import Any

from tests.zoo.lazy import keras, layers, ops
from tests.zoo.registry import zoo

_FAMILY = "Activations"
_NO_FUNCTIONS = {"deserialize", "get", "serialize"}
_NEEDS_ARGUMENTS = {"threshold"}
"""Functions that no layer can call by their name alone; `activation_arguments` has them."""


def named_activations() -> Iterator[str]:
    """The names of `keras.activations`, each function once."""
    seen = set()
    for name in dir(importlib.import_module("keras.activations")):
        function = getattr(keras.activations, name)
        if not name.startswith("_") and name not in _NO_FUNCTIONS | _NEEDS_ARGUMENTS and function not in seen:
            seen.add(function)
            yield name


@zoo(_FAMILY)
def activation_functions() -> Any:
    """Every function in keras.activations, one output each."""
    values = keras.Input((8,), name="values")
    return keras.Model(values, {name: layers.Activation(name)(values) for name in named_activations()})


@zoo(_FAMILY)
def activation_arguments() -> Any:
    """gelu exact and approximate, softmax, glu and others with arguments of their own."""
    values = keras.Input((4, 6), name="values")
    return keras.Model(
        values,
        {
            "gelu_exact": ops.gelu(values, approximate=False),
            "gelu_approximate": ops.gelu(values, approximate=True),
            "softmax_axis": ops.softmax(values, axis=1),
            "log_softmax_axis": ops.log_softmax(values, axis=1),
            "sparsemax_axis": ops.sparsemax(values, axis=-1),
            "elu_alpha": ops.elu(values, alpha=0.5),
            "celu_alpha": ops.celu(values, alpha=0.5),
            "glu_axis": ops.glu(values, axis=1),
            "threshold": ops.threshold(values, 0.2, -1.0),
        },
    )


@zoo(_FAMILY)
def activation_layers() -> Any:
    """PReLU with and without shared axes, LeakyReLU, ReLU, ELU, Softmax."""
    image = keras.Input((4, 5, 6), name="image")
    return keras.Model(
        image,
        {
            "prelu": layers.PReLU()(image),
            "prelu_shared": layers.PReLU(shared_axes=[1, 2])(image),
            "leaky_relu": layers.LeakyReLU(0.2)(image),
            "relu": layers.ReLU()(image),
            "relu_arguments": layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)(image),
            "elu": layers.ELU(0.7)(image),
            "softmax": layers.Softmax()(image),
            "softmax_axes": layers.Softmax(axis=(1, 2))(image),
        },
    )


@zoo(_FAMILY, fast=False)
def activations_fused() -> Any:
    """Activations inside Dense and Conv2D, where converters fuse them."""
    image = keras.Input((6, 6, 3), name="image")
    outputs = {}
    for name in ("relu", "relu6", "tanh", "sigmoid", "silu", "gelu", "mish", "hard_silu", "softplus", "selu"):
        x = layers.Conv2D(3, 3, activation=name)(image)
        outputs[name] = layers.Dense(2, activation=name)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, outputs)
