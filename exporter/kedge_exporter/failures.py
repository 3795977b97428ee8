"""A failed export as data, which travels between processes, and as an exception, which a caller catches."""

from kedge_exporter.errors import ExportError, FidelityNotMet, FormatImpossible, ParityNotProven
from kedge_exporter.request import Failed

_KINDS = {error.kind: error for error in ExportError.__subclasses__()}


def failed_of(error: ExportError) -> Failed:
    """What an exception says, as data."""
    reports = error.reports if isinstance(error, ParityNotProven) else ()
    layers = error.layers if isinstance(error, ParityNotProven) else ()
    fidelity = error.reports if isinstance(error, FidelityNotMet) else ()
    return Failed(
        error=str(error),
        kind=error.kind,
        exit_code=error.exit_code,
        reports=reports,
        layers=layers,
        fidelity=fidelity,
    )


def error_of(failed: Failed) -> ExportError:
    """The exception that a failure was in the export's own process, with its reports."""
    kind = _KINDS[failed.kind]
    if kind is ParityNotProven:
        return ParityNotProven(failed.error, failed.reports, failed.layers)
    if kind is FidelityNotMet:
        return FidelityNotMet(failed.error, failed.fidelity)
    if kind is FormatImpossible:
        # Its constructor makes the sentence out of parts; here the sentence is what there is.
        error = FormatImpossible.__new__(FormatImpossible, failed.error)
        error.reason, error.may_hold_one_row = failed.error, False
        return error
    return kind(failed.error)
