"""The zoo's models, by family. Importing this package registers them all; Keras stays asleep until one is built."""

from tests.zoo.models import (
    activations,
    attention,
    basics,
    convolutions,
    foreign,
    images,
    noise,
    normalizations,
    operations,
    pooling,
    precision,
    preprocessing,
    recurrent,
    text,
)
from tests.zoo.registry import ZOO

__all__ = [
    "ZOO", "activations", "attention", "basics", "convolutions", "foreign", "images", "noise", "normalizations",
    "operations", "pooling", "precision", "preprocessing", "recurrent", "text",
]  # fmt: skip
