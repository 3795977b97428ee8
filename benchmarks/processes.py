"""What a process and all that it started have cost so far: CPU time and memory, from /proc."""

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


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
    """User and system seconds of a process tree, with those of children that have ended and were waited for.

    The kernel counts them to the nanosecond and tells them in ticks of 10 ms.

    Raises:
        RuntimeError: the process has ended.
    """
    if not (processes := [_ticks(each) for each in tree(pid)])[0]:
        raise RuntimeError(f"process {pid} has ended")
    return sum(processes) / _TICKS_PER_S


def pss_bytes(pid: int) -> int:
    """Proportional set size: its own memory, and its share of what it shares; 0 for a process that has ended."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") * 1024


def rss_bytes(pid: int) -> int:
    """Resident set size: every page that it touches and that is in memory; 0 for a process that has ended."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:") * 1024


def _ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return 0
    state, *fields = text.rpartition(")")[2].split()  # a name may hold blanks and brackets
    return 0 if state == "Z" else sum(map(int, fields[10:14]))


def _kilobytes(page: Path, label: str) -> int:
    try:
        lines = page.read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(label)), 0)
