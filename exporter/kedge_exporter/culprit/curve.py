"""What is told of the layers of an artifact: plain numbers, as `parity.json` holds them. No library here."""

import math

from pydantic import BaseModel, ConfigDict, Field


class LayerError(BaseModel):
    """How one layer of an artifact compares with Keras.

    An error is the largest difference between two answers; each channel (the last axis) is measured in units of the
    largest magnitude that the reference has there, or of 2**-23 of the largest in all channels where that is more.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    layer: str = Field(description="The Keras layer whose answer this is; inside of others: `block/conv2d`.")
    class_name: str
    covers: tuple[str, ...] = Field(
        description="The layers that the artifact computes here as one, this one included, in the order of their calls."
    )
    tensor: str = Field(description="The artifact's own name for it.")
    shape: tuple[int, ...] = Field(description="As Keras answers it, the rows of the sample first.")
    cumulative_error: float = Field(description="Of the artifact, run from the inputs of the model.")
    cumulative_keras_error: float | None = Field(description="Of Keras itself; None where Keras is the reference.")
    local_error: float | None = Field(
        default=None,
        description="Of these layers alone, fed with what the reference gives them, in the channel that is nearest to "
        "its budget or furthest beyond it. None: not measured.",
    )
    local_keras_error: float | None = Field(
        default=None, description="Of Keras' layers, likewise, in the same channel."
    )
    local_allowed: float | None = Field(default=None, description="The budget of that channel.")

    @property
    def is_within_budget(self) -> bool | None:
        """Whether these layers, alone, answer as Keras' do; None where that was not measured."""
        if self.local_error is None or self.local_allowed is None:
            return None
        return self.local_error <= self.local_allowed


class UnseenLayer(BaseModel):
    """A layer that the artifact has no tensor of."""

    model_config = ConfigDict(frozen=True)

    layer: str
    class_name: str
    why: str = Field(description="One sentence.")


class LayerCurve(BaseModel):
    """How the error of an artifact grows from layer to layer."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    format: str = Field(description="`saved_model`, `tflite` or `onnx`.")
    rows: int = Field(default=0, description="How many rows the sample had.")
    is_exact: bool = Field(default=True, description="Whether the reference computes in float64; else it is Keras'.")
    layers: tuple[LayerError, ...] = Field(default=(), description="In the order in which Keras calls them.")
    unseen: tuple[UnseenLayer, ...] = ()
    reason: str = Field(default="", description="Why there is no curve; empty where there is one.")


def culprit(curve: LayerCurve) -> LayerError | None:
    """The first layer that, given right inputs, answers otherwise than Keras' rounding explains.

    None where there is none, and where no local errors were measured (`layer_curve(..., local=False)`).
    """
    return next((layer for layer in curve.layers if layer.is_within_budget is False), None)


def describe(error: LayerError) -> str:
    """One sentence on a layer, for the terminal."""
    others = [f"'{name}'" for name in error.covers if name != error.layer]
    whole = f", which the file computes as one with {_listed(others)}" if others else ""
    begin = f"the first layer that differs is '{error.layer}' ({error.class_name}{whole})"
    behind = f"behind it, run from the model's inputs, {_errs(error.cumulative_error)}"
    if error.local_error is None or error.local_allowed is None:
        return f"{begin}: {behind}"
    allowed = "" if math.isinf(error.local_error) else f", {error.local_allowed:.2g} is allowed"
    return f"{begin}: fed with right inputs {_errs(error.local_error)}{allowed}; {behind}"


def explain(curve: LayerCurve) -> str:
    """One sentence on an artifact that answers otherwise than Keras: its culprit, or why none is named."""
    if not curve.layers:
        return f"no layer can be named: {curve.reason}"
    found = culprit(curve)
    if found is not None:
        return describe(found)
    first, last = curve.layers[0], curve.layers[-1]
    growth = f"from {first.cumulative_error:.2g} behind '{first.layer}' to {last.cumulative_error:.2g} behind "
    return f"no layer differs when it is fed with right inputs; the error grows {growth}'{last.layer}'"


def _errs(error: float) -> str:
    if math.isinf(error):
        return "it answers infinity or NaN in other places than Keras"
    return f"it errs by {error:.2g} of its output's size"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
