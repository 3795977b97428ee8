"""The processes that prove, from the export's side: started early where their runtime is slow to import, used once."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

from kedge_bundle.manifest import FormatName
from kedge_exporter.processes import proof_environment

_SLOW_TO_IMPORT: tuple[FormatName, ...] = ("saved_model",)


class ProofProcesses(Protocol):
    """Where proofs run."""

    def expect(self, formats: tuple[FormatName, ...]) -> None:
        """Make ready for proofs of these formats."""

    def rehearse(self, format_name: FormatName, job_file: Path) -> None:
        """Let the process that will prove this format run a job's cases; whatever goes wrong shows when it proves."""

    def prove(self, format_name: FormatName, job_file: Path) -> int | None:
        """Prove one job in a process of its own; None when it left a report, else the code with which it ended."""


class FreshProcesses:
    """Every proof gets a process that proves nothing else."""

    def __init__(self) -> None:
        self._waiting: dict[FormatName, subprocess.Popen[str]] = {}

    def expect(self, formats: tuple[FormatName, ...]) -> None:
        """Start the processes whose runtime takes seconds to import, while there is nothing to prove yet."""
        self._waiting |= {name: start(name) for name in formats if name in _SLOW_TO_IMPORT}

    def rehearse(self, format_name: FormatName, job_file: Path) -> None:
        """See `ProofProcesses`."""
        if format_name in self._waiting:
            tell(self._waiting[format_name], job_file)

    def prove(self, format_name: FormatName, job_file: Path) -> int | None:
        """Prove one job; see `ProofProcesses`."""
        with self._waiting.pop(format_name, None) or start(format_name) as process:
            is_done = ask(process, job_file)
        return None if is_done and process.returncode == 0 else process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._waiting.values():
            process.kill()
            with process:  # closes its pipes and waits for it
                pass


def start(format_name: FormatName) -> "subprocess.Popen[str]":
    """A process that imports the runtime of this format and waits for jobs."""
    # -P: a file beside the user that is called like a library is not that library.
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-P", "-m", "kedge_exporter.proof_worker", format_name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=proof_environment(),
        text=True,
    )


def ask(process: "subprocess.Popen[str]", job_file: Path) -> bool:
    """Give a process one job and wait for its answer; False where it ended instead."""
    if process.stdout is None:
        raise ValueError("a process of the proof talks through pipes")
    return tell(process, job_file) and any(line == "done\n" for line in process.stdout)


def tell(process: "subprocess.Popen[str]", job_file: Path) -> bool:
    """Give a process one job; False where it ended before."""
    if process.stdin is None:
        raise ValueError("a process of the proof talks through pipes")
    try:
        process.stdin.write(f"{job_file}\n")
        process.stdin.flush()
    except BrokenPipeError:
        with suppress(BrokenPipeError):  # what was not written is tried once more; after that, the pipe is closed
            process.stdin.close()
        return False
    return True
