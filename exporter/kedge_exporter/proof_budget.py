"""How far the answers of a proof may be off: by the precision that the model, and who runs it, computes in."""

from typing import TYPE_CHECKING

from kedge_bundle.manifest import FormatName
from kedge_bundle.parity import Budget

if TYPE_CHECKING:
    from kedge_exporter.keras_model import Precision

_HALVES: "tuple[Precision, ...]" = ("bfloat16", "float16")
"""The coarsest first."""


def budget_of(
    layers: "Precision", computed: set[str], formats: tuple[FormatName, ...]
) -> tuple[Budget, tuple[str, ...], str]:
    """The tolerance for answers without a float64 reference, notes, and why there can be no such reference.

    Args:
        layers: the coarsest precision that any layer computes in.
        computed: the dtypes of floats that operations of the graph compute in.
        formats: what is proven; LiteRT answers a model in float64 with the digits of float32.

    Returns:
        the tolerance; a note where it is wider than that of the model's layers; the reason, or an empty one.
    """
    found, who = layers, ""
    half = next((half for half in _HALVES if half in {*computed, layers}), None)
    if half is not None and half != layers:
        found, who = half, f"an operation inside of the model computes in {half}"
    elif layers == "float64" and "float32" in computed:
        found, who = "float32", "an operation inside of the model computes in float32"
    elif layers == "float64" and "tflite" in formats:
        found, who = "float32", "LiteRT computes in float32"
    budget = Budget.for_precision(found)
    if not who:
        # Between layers in float32, what LiteRT computes in float32 instead of float64 is within the same budget.
        return budget, (), "LiteRT computes in float32" if "float64" in computed and "tflite" in formats else ""
    note = (
        f"the layers compute in {layers}, but {who}: every format was held to the budget of {found}, an error of "
        f"{budget.rtol:.0e} of an output's largest value"
    )
    return budget, (note,), who
