"""Dilated transposed convolutions, as Keras computes them once mended: `python -m tests.exporter.dilated_transposed`.

Prints a JSON line for each: its length, and how far it is off the mirror image of the plain convolution, which is its
definition: for all x and y, sum(convolved(y) * x) is sum(y * transposed(x)).
"""

import json
from itertools import product
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kedge_exporter import keras_repairs

SHAPES = {"Conv1DTranspose": (2, 7, 4), "Conv2DTranspose": (2, 7, 6, 4), "Conv3DTranspose": (2, 5, 4, 6, 4)}
RATES = {"Conv1DTranspose": (2,), "Conv2DTranspose": (2, 3), "Conv3DTranspose": (2, 1, 3)}


def main() -> None:
    rng = np.random.default_rng(0)
    keras_repairs.mend()
    for name, padding, size in product(SHAPES, ("valid", "same"), (1, 2, 3)):
        rates = RATES[name]
        x = rng.normal(size=SHAPES[name])
        layer = getattr(keras.layers, name)(3, size, dilation_rate=rates, padding=padding, dtype="float64")
        transposed: Any = layer(x)
        y = rng.normal(size=transposed.shape)
        convolved = tf.nn.convolution(y, layer.kernel, 1, padding.upper(), dilations=rates)
        wanted, got = np.sum(convolved * x), np.sum(y * transposed)
        print(  # noqa: T201
            json.dumps(
                {
                    "name": f"{name} {padding} {size}",
                    "shape": list(transposed.shape),
                    "promised": list(layer.compute_output_shape(x.shape)),
                    "error": abs(got - wanted) / abs(wanted),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
