"""What can stop an export, hung on its path. Each failure names the exit code of `export-model`.

flags ─ staging ─ inspect ─ load ─ trace ─ convert ─ prove ─ publish
  |        |         |        |      |        |        |        |
UsageError |  ModelUnreadable | ModelRefused  | ParityNotProven |
 OutputNotWritable   ModelRefused   FormatImpossible  FidelityNotMet, NotReproducible
                                                           CannotWrite, UsageError (the version is taken)

anywhere: CannotWrite (the disk is full), ExportCrashed (a signal, out of memory, a fault of Kedge)
"""

from typing import ClassVar

from kedge_bundle.fidelity import FidelityReport
from kedge_bundle.parity import ParityReport
from kedge_exporter.culprit.curve import LayerCurve


class ExportError(Exception):
    """An export that publishes nothing; the message is written for the person who ran it."""

    exit_code: ClassVar[int]
    kind: ClassVar[str]
    """A word for programs: the `kind` of the `--json` document."""


class ParityNotProven(ExportError):
    """At least one format does not answer as Keras does, or could not be compared.

    Args:
        message: names the case, the output and, where it was found, the layer.
        reports: every comparison.
        layers: how the error grows from layer to layer in the formats that failed.
    """

    exit_code = 1
    kind = "parity-not-proven"

    def __init__(
        self, message: str, reports: tuple[ParityReport, ...] = (), layers: tuple[LayerCurve, ...] = ()
    ) -> None:
        self.reports = reports
        self.layers = layers
        super().__init__(message)


class FidelityNotMet(ExportError):
    """A quantized artifact keeps less of the answers than was asked for, or could not be judged."""

    exit_code = 1
    kind = "fidelity-not-met"

    def __init__(self, message: str, reports: tuple[FidelityReport, ...] = ()) -> None:
        self.reports = reports
        super().__init__(message)


class NotReproducible(ExportError):
    """Two exports differ in their bytes, or could not be compared, and `--strict` makes that an error."""

    exit_code = 1
    kind = "not-reproducible"


class UsageError(ExportError):
    """A flag that cannot be followed: its value, a version that exists, samples that do not fit the model."""

    exit_code = 2
    kind = "usage"


class OutputNotWritable(ExportError):
    """The output directory cannot be written; found before any work began."""

    exit_code = 2
    kind = "output-not-writable"


class ModelUnreadable(ExportError):
    """No whole `.keras` file is there."""

    exit_code = 3
    kind = "model-unreadable"


class ModelRefused(ExportError):
    """A `.keras` file that Keras or Kedge does not take."""

    exit_code = 3
    kind = "model-refused"


class FormatImpossible(ExportError):
    """A requested format cannot be produced; names the format and, where known, the layer and the op.

    Args:
        format_name: the format, or the name of a quantized artifact; None for all of them.
        reason: what is in the way.
        may_hold_one_row: whether the format may take the model when its batch is fixed to one row.
    """

    exit_code = 4
    kind = "format-impossible"

    def __init__(self, format_name: str | None, reason: str, *, may_hold_one_row: bool = False) -> None:
        self.reason = reason
        self.may_hold_one_row = may_hold_one_row
        flag = "--quantize" if format_name is not None and "-" in format_name else "--formats"
        super().__init__(
            f"no format can be produced: {reason}"
            if format_name is None
            else f"{format_name} cannot be produced: {reason}; {flag} chooses the others"
        )


class CannotWrite(ExportError):
    """The disk is full, or a file could not be written while the export was under way."""

    exit_code = 5
    kind = "cannot-write"


class ExportCrashed(ExportError):
    """The export process was killed, ran out of memory, or met a fault of Kedge itself."""

    exit_code = 6
    kind = "crashed"


EXIT_CODES = """\
exit codes:
  0  proven and published
  1  parity not proven, a quantized artifact too unlike the model, or with --strict not reproducible (nothing
     published)
  2  usage: a flag, samples that do not fit, a version that exists, an output that cannot be written
  3  model refused or unreadable, or with --strict worth a warning
  4  a requested format cannot be produced (the op, and where known the layer, is named)
  5  a file could not be written while the export was under way, for instance a full disk
  6  the export process died (out of memory, a signal) or met a fault of its own
"""
