"""Keras, imported when something of it is first asked for: pytest lists the zoo without starting TensorFlow."""

import importlib
from typing import Any


class LazyModule:
    """A module that is imported with its first attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


keras = LazyModule("keras")
layers = LazyModule("keras.layers")
ops = LazyModule("keras.ops")
