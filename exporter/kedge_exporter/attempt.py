"""One attempt at an export, as the command and the Python API make it: made already, or run in a process of its own.

Keeps order on the disk: whatever happens, what is left is a bundle, and a log where it explains something.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kedge_bundle.store import staging
from kedge_exporter.advice import require_none
from kedge_exporter.errors import CannotWrite, ExportError, OutputNotWritable, UsageError
from kedge_exporter.failures import failed_of
from kedge_exporter.flags import check_version_is_free
from kedge_exporter.limits import Limits
from kedge_exporter.progress import PhaseEvent
from kedge_exporter.request import Exported, ExportRequest, Failed, Job
from kedge_exporter.supervise import run_export
from kedge_exporter.unchanged import Found, find

_NEEDED = ("keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert")

OnPhase = Callable[[PhaseEvent], None]
"""Told when a phase begins and when it ends."""


@dataclass(frozen=True)
class Attempt:
    """How an export ended.

    Attributes:
        outcome: the published bundle, or why there is none.
        log: what the libraries printed, kept where it was wanted or may explain a failure; None where nothing is kept.
    """

    outcome: Exported | Failed
    log: Path | None = None


def check_installed() -> None:
    """Say at once what an edge box lacks; the packages are looked for, not imported.

    Raises:
        UsageError: naming what is missing.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"export-model needs {', '.join(missing)}, not installed in {sys.prefix}; pip install 'kedge[export]' "
            "where models are trained"
        )


def attempt(request: ExportRequest, limits: Limits, on_phase: OnPhase, *, is_log_wanted: bool = False) -> Attempt:
    """Run the export, unless it was made already; only the bundle stays, and the log where it is wanted or explains."""
    try:
        found = Found() if request.is_forced else find(request)
        if found.exported is not None:
            if request.is_strict:
                require_none(found.exported.warnings)
            return Attempt(found.exported)
        check_version_is_free(request)
        made = _with_scratch(request, limits, on_phase, is_log_wanted=is_log_wanted)
    except ExportError as error:
        return Attempt(failed_of(error))
    if isinstance(made.outcome, Exported) and found.note:
        return Attempt(made.outcome.model_copy(update={"notes": (found.note, *made.outcome.notes)}), made.log)
    return made


def _with_scratch(request: ExportRequest, limits: Limits, on_phase: OnPhase, *, is_log_wanted: bool) -> Attempt:
    """Run the export with a directory for temporary files, of which only the log may stay."""
    try:
        scratch = Path(tempfile.mkdtemp(prefix="kedge-export-"))
    except OSError as error:
        raise OutputNotWritable(f"no room for temporary files: {error}; set TMPDIR to a writable directory") from error
    log = scratch / "export.log"
    is_log_kept = False
    try:
        outcome = _staged(request, limits, scratch, log, on_phase)
        is_log_kept = is_log_wanted or isinstance(outcome, Failed)
    finally:
        shutil.rmtree(scratch / "work", ignore_errors=True)
        if not (is_log_kept and log.exists() and log.stat().st_size):
            shutil.rmtree(scratch, ignore_errors=True)
    return Attempt(outcome, log if log.exists() else None)


def _staged(request: ExportRequest, limits: Limits, scratch: Path, log: Path, on_phase: OnPhase) -> Exported | Failed:
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
            return run_export(Job(request=request, staged=staged, work=work), log, limits, on_phase)
        except OSError as error:
            return failed_of(CannotWrite(f"{error.filename}: {error.strerror}; nothing was published"))
        except ExportError as error:
            return failed_of(error)
