"""What `export-model` prints: phases while it works (stderr), a table at the end (stdout), or one JSON document."""

import json
import sys
from pathlib import Path

from kedge_exporter.progress import PhaseEvent
from kedge_exporter.request import Exported, Failed
from kedge_exporter.result_text import result_lines

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
            sys.stderr.write(f"{start}{phase_line(event)}\n")
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
        lines = result_lines(outcome)
        if log is not None:
            lines.append(f"log: {log}")
        sys.stdout.write("\n".join(lines) + "\n")


def phase_line(event: PhaseEvent) -> str:
    """A phase that ended, for people."""
    return f"{event.name:<20} {event.seconds or 0:6.1f} s  {event.detail}"
