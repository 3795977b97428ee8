"""Which faults are planted where. No library here."""

from dataclasses import dataclass

FORMATS = ("onnx", "tflite")
MODELS = ("convolutions", "dense", "branches", "recurrent")
"""Those of `models.py`."""


@dataclass(frozen=True)
class Planted:
    """A fault in one layer of one model."""

    model: str
    fault: str
    layer: str


PLANTED = (
    Planted("convolutions", "flipped_kernel", "folded"),
    Planted("convolutions", "dropped_bias", "biased"),
    Planted("convolutions", "flipped_kernel", "biased"),
    Planted("convolutions", "swapped_axes", "turned"),
    Planted("convolutions", "flipped_kernel", "head"),
    Planted("dense", "dropped_bias", "wide"),
    Planted("dense", "overflow", "enlarged"),
    Planted("dense", "other_epsilon", "normalized"),
    Planted("dense", "dropped_bias", "head"),
    Planted("branches", "flipped_kernel", "inside"),
    Planted("branches", "flipped_kernel", "right"),
    Planted("branches", "other_sum", "joined"),
    Planted("recurrent", "flipped_kernel", "both"),
    Planted("recurrent", "dropped_bias", "head"),
)
