"""`export-model`: flags -> the export, in a process of its own -> a table -> an exit code. Imports no heavy library."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from kedge_bundle.store import staging
from kedge_exporter.advice import require_none
from kedge_exporter.errors import CannotWrite, ExportError, OutputNotWritable, UsageError
from kedge_exporter.flags import check_version_is_free, limits_of, parse, request_of
from kedge_exporter.limits import Limits
from kedge_exporter.request import Exported, ExportRequest, Failed, Job
from kedge_exporter.supervise import run_export
from kedge_exporter.terminal import Terminal
from kedge_exporter.unchanged import Found, find

_NEEDED = ("keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with the code of `errors.EXIT_CODES`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    terminal = Terminal(is_json="--json" in given)
    log: Path | None = None
    outcome: Exported | Failed
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        signal.signal(signal.SIGHUP, _stop)
    try:
        flags = parse(given)
        _check_installed()
        outcome, log = _export(request_of(flags, given), limits_of(flags), terminal, is_log_wanted=flags.verbose)
    except ExportError as error:
        outcome = _failed(error)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    terminal.show_outcome(outcome, log)
    sys.exit(outcome.exit_code if isinstance(outcome, Failed) else 0)


def _check_installed() -> None:
    """Say at once what an edge box lacks; the packages are looked for, not imported."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"export-model needs {', '.join(missing)}, not installed in {sys.prefix}; pip install 'kedge[export]' "
            "where models are trained"
        )


def _export(
    request: ExportRequest, limits: Limits, terminal: Terminal, *, is_log_wanted: bool
) -> tuple[Exported | Failed, Path | None]:
    """Run the export, unless it was made already; only the bundle stays, and the log where it is wanted or explains."""
    found = Found() if request.is_forced else find(request)
    if found.exported is not None:
        if request.is_strict:
            require_none(found.exported.warnings)
        return found.exported, None
    check_version_is_free(request)
    try:
        scratch = Path(tempfile.mkdtemp(prefix="kedge-export-"))
    except OSError as error:
        raise OutputNotWritable(f"no room for temporary files: {error}; set TMPDIR to a writable directory") from error
    log = scratch / "export.log"
    is_log_kept = False
    try:
        outcome = _staged_export(request, limits, scratch, log, terminal)
        is_log_kept = is_log_wanted or isinstance(outcome, Failed)
    finally:
        shutil.rmtree(scratch / "work", ignore_errors=True)
        if not (is_log_kept and log.exists() and log.stat().st_size):
            shutil.rmtree(scratch, ignore_errors=True)
    if isinstance(outcome, Exported) and found.note:
        outcome = outcome.model_copy(update={"notes": (found.note, *outcome.notes)})
    return outcome, log if log.exists() else None


def _staged_export(
    request: ExportRequest, limits: Limits, scratch: Path, log: Path, terminal: Terminal
) -> Exported | Failed:
    """Run the export in a staging directory of ours, which goes when this returns, even if the export was killed."""
    with ExitStack() as stack:
        try:
            staged = stack.enter_context(staging(request.output, request.name))
        except OSError as error:
            raise OutputNotWritable(
                f"--output {request.output}: cannot be written: {error.strerror} ({error.filename})"
            ) from error
        work = scratch / "work"
        try:
            work.mkdir()
            return run_export(Job(request=request, staged=staged, work=work), log, limits, terminal.show_phase)
        except OSError as error:
            return _failed(CannotWrite(f"{error.filename}: {error.strerror}; nothing was published"))
        except ExportError as error:
            return _failed(error)


def _failed(error: ExportError) -> Failed:
    return Failed(error=str(error), kind=error.kind, exit_code=error.exit_code)


def _stop(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
