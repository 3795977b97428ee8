"""`parity.json`: the proof, for programs."""

from pydantic import BaseModel, ConfigDict

from kedge_bundle.fidelity import FidelityReport
from kedge_bundle.manifest import RuntimeOptions
from kedge_bundle.parity import Budget, ParityReport
from kedge_bundle.rounding import FACTOR, FLOOR_ULPS, MOST, Reference
from kedge_exporter.culprit.curve import LayerCurve
from kedge_exporter.sensitivity import Sensitivity

PROOF = "parity.json"


class Method(BaseModel):
    """By which rules errors were judged; `kedge_bundle.rounding` explains them."""

    model_config = ConfigDict(frozen=True)

    factor: float = FACTOR
    floor_ulps: float = FLOOR_ULPS
    most: float = MOST


class Proof(BaseModel):
    """`parity.json`: what was compared, under which options, with which outcome.

    Attributes:
        method: the rules.
        reference: what the answers were compared with, and Keras' own errors.
        tolerance: the explicit one, if any.
        budget: the tolerance for outputs of floats without a float64 reference.
        seed: every input follows from it, or from the data.
        options: those that are proven, and that serve.
        inputs: how each input was drawn.
        reports: one for every format and session; the session `logits` is of what a softmax or sigmoid was given.
        sensitivity: whether the proof of a format notices a changed weight.
        layers: how the error grows from layer to layer, by format.
    """

    model_config = ConfigDict(frozen=True)

    method: Method = Method()
    reference: Reference
    tolerance: Budget | None = None
    budget: Budget
    seed: int
    options: RuntimeOptions
    inputs: dict[str, str] = {}
    reports: tuple[ParityReport, ...]
    sensitivity: tuple[Sensitivity, ...] = ()
    layers: tuple[LayerCurve, ...] = ()
    fidelity: tuple[FidelityReport, ...] = ()
