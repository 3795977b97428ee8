"""Models that compute in a precision that a format's runtime lacks: rebuilt in float32, with the same weights."""

from kedge_exporter.errors import FormatImpossible
from kedge_exporter.precision import CannotRebuild
from kedge_exporter.tracing import Frozen


def without(precisions: set[str], frozen: Frozen, format_name: str) -> Frozen:
    """The model without ops in any of `precisions`; its inputs and outputs keep their dtypes.

    Raises:
        FormatImpossible: it insists on its precision.
    """
    others = sorted(frozen.precisions & precisions)
    if not others:
        return frozen
    try:
        return frozen.in_float32()
    except CannotRebuild as error:
        reason = f"it computes in {', '.join(others)}, which its runtime lacks, and is not rebuilt in float32: {error}"
        raise FormatImpossible(format_name, reason) from error
