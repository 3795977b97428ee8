"""The networks of `keras.applications` at 96x96, without downloaded weights."""

from collections.abc import Callable
from typing import Any

import numpy as np

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


def _builder(network: str) -> Callable[[], Any]:
    def build() -> Any:
        # Logits: a softmax over many classes would hide errors.
        model = getattr(keras.applications, network)(
            weights=None, input_shape=(96, 96, 3), classes=_CLASSES, classifier_activation=None
        )
        # The proof asks for far more than images as well, mean + 10 deviations. A network whose statistics know images
        # only doubles that from block to block, to 1e6, where every rounding counts.
        drawn = rng()
        images = np.concatenate([drawn.uniform(0, 255, (8, 96, 96, 3)), drawn.normal(127, 730, (8, 96, 96, 3))]).astype(
            np.float32
        )
        return calibrate(vary(model, gain=0.3), images)

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
            samples=lambda: {"image": rng().uniform(0, 255, (7, 96, 96, 3)).astype("float32")},
        )
    )
