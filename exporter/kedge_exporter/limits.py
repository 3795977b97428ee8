"""What an export may take of the machine: memory and time, watched from outside of the process that takes it.

A limit on address space (RLIMIT_AS) is of no use here: TensorFlow reserves far more than it uses. So the private memory
of the export's process and of its children is added up ten times a second, and who passes the limit is killed.
"""

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from kedge_exporter.errors import ExportCrashed, ExportError, ModelRefused

READING_PHASES = frozenset({"inspect", "load"})
"""What happens here is the file's doing: the exit code is that of a refused model."""

_INTERVAL_S = 0.1
_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
_SHARE = 0.8
_LEAST_BYTES = 1 << 30
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE})


@dataclass(frozen=True)
class Limits:
    """Memory of all processes of an export together, in bytes; wall time in seconds."""

    memory_bytes: int
    load_s: float
    total_s: float


def default_memory_bytes(proc: Path = _PROC, cgroup: Path = _CGROUP) -> int:
    """Four fifths of the memory that is free: the machine's, or the container's where that has less."""
    free = _numbers(proc / "meminfo").get("MemAvailable", 0) or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    container = _whole_number(cgroup / "memory.max") or _whole_number(cgroup / "memory" / "memory.limit_in_bytes")
    return max(_LEAST_BYTES, int(_SHARE * min(free, container or free)))


def used_bytes(pid: int, proc: Path = _PROC) -> int:
    """Private memory of a process and of its descendants, swapped or not; a process that ended counts nothing.

    Pages of files and libraries are left out: the system takes them back when it needs them.
    """
    return sum(_private_bytes(proc / str(one)) for one in family(pid, proc))


def family(pid: int, proc: Path = _PROC) -> list[int]:
    """A process and its descendants, parents first."""
    found = [pid]
    for one in found:
        try:
            threads = list((proc / str(one) / "task").iterdir())
            children = [text for thread in threads for text in (thread / "children").read_text().split()]
        except OSError:  # it ended, or this system tells nothing of children
            continue
        found.extend(int(text) for text in children)
    return found


@dataclass
class Watch:
    """Kills an export that passes a limit; `verdict` then says which one, and in which phase.

    Attributes:
        pid: the export's process.
        phase: where it is; set by whoever follows its events.
    """

    pid: int
    limits: Limits
    phase: str = "start"
    verdict: ExportError | None = None
    _reading_since: float | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="limits", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def enter(self, phase: str) -> None:
        """The export is in another phase now."""
        if phase in READING_PHASES and self._reading_since is None:
            self._reading_since = time.monotonic()
        self.phase = phase

    def _run(self) -> None:
        while not self._over.wait(_INTERVAL_S):
            reason = self._reason()
            if reason is not None:
                kind = ModelRefused if self.phase in READING_PHASES else ExportCrashed
                self.verdict = kind(
                    f"{reason}; the export was stopped in the phase '{self.phase}', nothing was published"
                )
                kill_family(self.pid)
                return

    def _reason(self) -> str | None:
        limits, now = self.limits, time.monotonic()
        used = used_bytes(self.pid)
        if used > limits.memory_bytes:
            return (
                f"the model needs more memory than the limit of {limits.memory_bytes >> 20:,} MB "
                f"({used >> 20:,} MB when it was measured); --memory-limit-mb sets another limit"
            )
        if (
            self.phase in READING_PHASES
            and self._reading_since is not None
            and now - self._reading_since > limits.load_s
        ):
            return f"the model was not loaded within {limits.load_s:g} s; --load-timeout-s sets another limit"
        if now - self._begun > limits.total_s:
            return f"the export took more than {limits.total_s:g} s; --timeout-s sets another limit"
        return None


def kill_family(pid: int) -> None:
    """Kill a process and its descendants, so that none is left behind.

    All are stopped first, and looked for again until there is none that is new: who is stopped starts no more children.
    """
    stopped: list[int] = []
    while new := [one for one in family(pid) if one not in stopped]:
        for one in new:
            _send(one, signal.SIGSTOP)
        stopped += new
    for one in stopped:
        _send(one, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, number)


def is_crash_while_reading(phase: str, code: int) -> bool:
    """Whether a library broke on what the file says: HDF5 and TensorFlow do not survive everything."""
    return phase in READING_PHASES and code < 0 and -code in _CRASHES


def _private_bytes(process: Path) -> int:
    numbers = _numbers(process / "status")
    if "RssAnon" not in numbers:
        return numbers.get("VmRSS", 0)
    return numbers["RssAnon"] + numbers.get("RssShmem", 0) + numbers.get("VmSwap", 0)


def _numbers(path: Path) -> dict[str, int]:
    """The entries in kB of a file such as /proc/meminfo, in bytes; none where there is no such file."""
    try:
        lines = [line.split() for line in path.read_text("utf-8", errors="replace").splitlines()]
    except OSError:  # the process ended, or this is not Linux
        return {}
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines if len(words) == 3 and words[2] == "kB"}  # noqa: PLR2004


def _whole_number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
