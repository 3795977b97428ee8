"""The caller's side of the export's process: start it, follow its events, and say how it ended."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from kedge_exporter.errors import ExportCrashed, ModelRefused
from kedge_exporter.limits import Limits, Watch, is_crash_while_reading, kill_family
from kedge_exporter.processes import describe_exit, export_environment
from kedge_exporter.progress import PhaseEvent
from kedge_exporter.request import Exported, Failed, Job

_GRACE_S = 10.0
"""How long a stopped export may take to put its things away."""

_EVENT: TypeAdapter[PhaseEvent | Exported | Failed] = TypeAdapter(
    Annotated[PhaseEvent | Exported | Failed, Field(discriminator="event")]
)


def run_export(job: Job, log: Path, limits: Limits, on_phase: Callable[[PhaseEvent], None]) -> Exported | Failed:
    """Run one export in a process of its own.

    Args:
        job: what to export and where.
        log: gets everything that the process and its libraries print.
        limits: what it may take of the machine; it is killed when it takes more.
        on_phase: called when a phase begins and when it ends.

    Raises:
        ModelRefused: reading the model took too long or too much, or broke a library.
        ExportCrashed: the process ended without an outcome.
    """
    job_file = job.work / "job.json"
    job_file.write_text(job.model_dump_json(), "utf-8")
    outcome: Exported | Failed | None = None
    with _started(job_file, log, job.work) as (process, events), Watch(process.pid, limits) as watch:
        for line in events:
            if not line.endswith("\n"):  # it was killed in the middle of a word
                continue
            event = _EVENT.validate_json(line)
            if isinstance(event, PhaseEvent):
                watch.enter(event.name)
                on_phase(event)
            else:
                outcome = event
        code = process.wait()
    if outcome is not None:
        return outcome
    if watch.verdict is not None:
        raise watch.verdict
    ending = f"the export's process {describe_exit(code)} in the phase '{watch.phase}'; nothing was published"
    if is_crash_while_reading(watch.phase, code):
        raise ModelRefused(f"{job.request.model}: a library broke on what the file holds: {ending}")
    raise ExportCrashed(ending)


@contextmanager
def _started(job_file: Path, log: Path, work: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Iterator[str]]]:
    """The running process and the lines of its events; it does not outlive the block."""
    reading, writing = os.pipe()
    # -P: a file beside the user that is called like a library is not that library.
    command = [sys.executable, "-P", "-m", "kedge_exporter.worker", str(job_file), str(writing)]
    with log.open("ab") as chatter, os.fdopen(reading, encoding="utf-8") as events:
        try:
            process = subprocess.Popen(  # noqa: S603 (our own module)
                command,
                stdin=subprocess.DEVNULL,
                stdout=chatter,
                stderr=chatter,
                env=export_environment(work),
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        try:
            yield process, events
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_GRACE_S)
                except BaseException as impatience:  # also of who presses Ctrl-C a second time
                    kill_family(process.pid)
                    process.wait()
                    if not isinstance(impatience, subprocess.TimeoutExpired):
                        raise
