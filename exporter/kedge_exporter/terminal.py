"""What `export-model` prints: phases while it works (stderr), a table at the end (stdout), or one JSON document."""

import json
import sys
from pathlib import Path

from kedge_exporter.progress import PhaseEvent
from kedge_exporter.request import Exported, Failed
from kedge_exporter.result_table import table_lines

_CLEAR_LINE = "\r\033[K"


class Terminal:
    """The command's output.

    Args:
        is_json: print nothing but one JSON document on standard output.
    """

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json
        self._is_live = sys.stderr.isatty()

    def show_phase(self, event: PhaseEvent) -> None:
        """Show that a phase began (where a person is looking) or ended."""
        if self._is_json:
            return
        if event.seconds is not None:
            start = _CLEAR_LINE if self._is_live else ""
            sys.stderr.write(f"{start}{event.name:<20} {event.seconds:6.1f} s  {event.detail}\n")
        elif self._is_live:
            sys.stderr.write(f"{event.name:<20} ...")
        sys.stderr.flush()

    def show_outcome(self, outcome: Exported | Failed, log: Path | None) -> None:
        """Show how the export ended."""
        if self._is_json:
            # Through text: only there does the schema write NaN and infinity as JSON can hold them.
            document = json.loads(outcome.model_dump_json(exclude={"event"}))
            document = {"exit_code": 0, **document, "log": None if log is None else str(log)}
            sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
        elif isinstance(outcome, Exported):
            self._show_table(outcome, log)
        else:
            if self._is_live:
                sys.stderr.write(_CLEAR_LINE)
            sys.stderr.write(f"export-model: {outcome.error}\n")
            if log is not None:
                sys.stderr.write(f"export-model: the log is {log}\n")

    def _show_table(self, outcome: Exported, log: Path | None) -> None:
        lines = table_lines(outcome.formats)
        lines += _reproduced(outcome)
        lines += [f"warning: {advice.code}: {advice.message}" for advice in outcome.warnings]
        lines += [f"note: {note}" for note in outcome.notes]
        lines.append(
            f"unchanged: {outcome.bundle} is the export of this file with these options and this toolchain; --force "
            "exports it again"
            if outcome.unchanged
            else f"proven and published: {outcome.bundle}"
        )
        if log is not None:
            lines.append(f"log: {log}")
        sys.stdout.write("\n".join(lines) + "\n")


def _reproduced(outcome: Exported) -> list[str]:
    """What came out byte for byte as it did before, a line for each thing that it was compared with."""
    identical: dict[str, list[str]] = {}
    for result in outcome.formats:
        if result.reproducible is not None and result.reproducible.is_identical:
            identical.setdefault(result.reproducible.against, []).append(result.format)
    return [f"reproducible: {', '.join(names)}: the same bytes as {against}" for against, names in identical.items()]
