"""The export's own process: `python -m kedge_exporter.worker JOB.json FD`. Its events go to the pipe, as JSON lines.

Standard output and error belong to TensorFlow's chatter; the command sends them to a log. The last event is `exported`
or `failed`; without one, the process died.
"""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel

from kedge_exporter.errors import (
    CannotWrite,
    ExportCrashed,
    ExportError,
    ModelUnreadable,
    UsageError,
)
from kedge_exporter.export import export
from kedge_exporter.failures import failed_of
from kedge_exporter.progress import Progress
from kedge_exporter.request import Exported, Failed, Job
from kedge_exporter.writing import as_write_error

_OF_PROCESSES = frozenset({errno.EAGAIN, errno.EPIPE, errno.ECHILD})
"""What starting a process and talking to it raises, and no file."""


def main(job_file: str, pipe: int) -> None:
    """Run one export and report on it."""
    signal.signal(signal.SIGTERM, _stop)
    with os.fdopen(pipe, "w", encoding="utf-8", buffering=1) as events:

        def emit(event: BaseModel) -> None:
            events.write(event.model_dump_json() + "\n")

        job = Job.model_validate_json(Path(job_file).read_bytes())
        emit(_outcome(job, emit))


def _outcome(job: Job, emit: Callable[[BaseModel], None]) -> Exported | Failed:
    try:
        return export(job.request, job.staged, job.work, Progress(emit))
    except (ModelUnreadable, UsageError) as error:  # the sentence says it all, there is nothing to look up in a log
        return failed_of(error)
    except ExportError as error:
        _log(error)
        return failed_of(error)
    except Exception as error:  # noqa: BLE001 (the boundary of the process: every failure gets one sentence)
        _log(error)
        return failed_of(_explained(error, job))


def _explained(error: Exception, job: Job) -> ExportError:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return ExportCrashed("this machine has too little memory for the export")
    write_error = error if isinstance(error, OSError) and error.errno not in _OF_PROCESSES else as_write_error(error)
    if write_error is not None:
        where = write_error.filename or f"a file under {job.request.output} or {job.work.parent}"
        return CannotWrite(f"{where} cannot be written: {write_error.strerror or write_error}; nothing was published")
    return ExportCrashed(f"a fault of Kedge: {type(error).__name__}: {error}; please report it with the log")


def _log(error: Exception) -> None:
    """The whole story goes to the log, which is this process's standard error."""
    traceback.print_exception(error)


def _stop(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    # All is said and written; taking TensorFlow and gigabytes of graphs apart would be half a second of nothing.
    os._exit(0)
