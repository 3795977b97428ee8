"""`export-model`: flags -> the export, in a process of its own -> a table -> an exit code. Imports no heavy library."""

import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from kedge_exporter.attempt import Attempt, attempt, check_installed
from kedge_exporter.errors import ExportError
from kedge_exporter.failures import failed_of
from kedge_exporter.flags import limits_of, parse, request_of
from kedge_exporter.request import Failed
from kedge_exporter.terminal import Terminal


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with the code of `errors.EXIT_CODES`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    terminal = Terminal(is_json="--json" in given)
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        signal.signal(signal.SIGHUP, _stop)
    try:
        made = _attempt(given, terminal)
    except ExportError as error:
        made = Attempt(failed_of(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    terminal.show_outcome(made.outcome, made.log)
    sys.exit(made.outcome.exit_code if isinstance(made.outcome, Failed) else 0)


def _attempt(given: list[str], terminal: Terminal) -> Attempt:
    flags = parse(given)
    check_installed()
    return attempt(request_of(flags, given), limits_of(flags), terminal.show_phase, is_log_wanted=flags.verbose)


def _stop(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
