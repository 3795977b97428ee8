"""The networks of `keras.applications` at 96x96, without downloaded weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.zoo.lazy import keras
from tests.zoo.registry import ZooModel, add, rng
from tests.zoo.weights import calibrate, vary

_FAMILY = "Image networks"
_CLASSES = 100

NETWORKS = {
    "MobileNetV2": True,
    "MobileNetV3Small": False,
    "MobileNetV3Large": False,
    "EfficientNetB0": False,
    "EfficientNetV2B0": False,
    "ResNet50": False,
    "ResNet50V2": False,
    "DenseNet121": False,
    "InceptionV3": False,
    "Xception": False,
    "ConvNeXtTiny": False,
    "NASNetMobile": False,
}
"""The networks, and whether `make test` has them."""

_GATED = {"EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Large", "MobileNetV3Small"}
"""Their gates open with what is larger than anything that their statistics have seen, and each block then doubles it.

The proof asks for mean + 10 deviations: the answers would reach 1e6, where every rounding counts.
"""


def _pictures(count: int) -> NDArray[np.float64]:
    """Patches of colour with some noise, (count, 96, 96, 3), 0 to 255.

    Deep in a network all images of noise alone look the same: statistics made of them are those of a nearly constant
    number, and dividing by its deviation makes answers of rounding errors.
    """
    drawn = rng()
    patches = drawn.uniform(0, 255, (count, 6, 6, 3)).repeat(16, axis=1).repeat(16, axis=2)
    return np.clip(patches + drawn.normal(0, 20, patches.shape), 0, 255)


def _builder(network: str) -> Callable[[], Any]:
    def build() -> Any:
        # Logits: a softmax over many classes would hide errors.
        model = getattr(keras.applications, network)(
            weights=None, input_shape=(96, 96, 3), classes=_CLASSES, classifier_activation=None
        )
        images = _pictures(16)
        if network in _GATED:
            images[8:] = rng().normal(127, 730, (8, 96, 96, 3))
        return calibrate(vary(model, gain=0.3), images.astype(np.float32))

    return build


for _network, _is_fast in NETWORKS.items():
    add(
        ZooModel(
            name=_network,
            family=_FAMILY,
            about=f"keras.applications.{_network}, 96x96, {_CLASSES} classes, logits",
            build=_builder(_network),
            is_fast=_is_fast,
            vary=False,
            samples=lambda: {"image": _pictures(7).astype(np.float32)},
        )
    )
