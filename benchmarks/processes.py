"""What a process and all that it started have cost so far: CPU time and memory, as the kernel counts them."""

import time
from pathlib import Path

_SCHEDULER_CLOCK = 2


def tree(pid: int) -> list[int]:
    """A process and all that it started and that still run."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [
                    int(child) for child in (task / "children").read_text("utf-8").split() if int(child) not in found
                ]
        except OSError:  # it has ended since
            continue
    return found


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and of all that it started and that still run, to the microsecond.

    Raises:
        RuntimeError: the process has ended.
    """
    seconds = [_cpu_clock_s(each) for each in tree(pid)]
    if not seconds[0]:
        raise RuntimeError(f"process {pid} has ended")
    return sum(seconds)


def pss_bytes(pid: int) -> int:
    """Proportional set size: its own memory, and its share of what it shares; 0 for a process that has ended."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") * 1024


def rss_bytes(pid: int) -> int:
    """Resident set size: every page that it touches and that is in memory; 0 for a process that has ended."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:") * 1024


def _cpu_clock_s(pid: int) -> float:
    """POSIX has `clock_getcpuclockid` for it, Python that of threads only; on Linux it is made of the pid."""
    try:
        return time.clock_gettime(~pid << 3 | _SCHEDULER_CLOCK)
    except OSError:  # it has ended since
        return 0.0


def _kilobytes(page: Path, label: str) -> int:
    try:
        lines = page.read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(label)), 0)
