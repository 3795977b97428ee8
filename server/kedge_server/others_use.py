"""Whether other processes wanted the cores while something was measured on them. Linux only: elsewhere nobody knows."""

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
_BUSY = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq, steal: the columns of time in which a core did something, or somebody else had it.
Source: proc_stat(5)."""

DISTURBING = 0.2
"""A share of the cores' time: what the system itself and a monitoring agent take is less."""

_LEAST_S = 0.1
"""The system counts in steps of ten milliseconds."""


class OthersUse:
    """How much of the cores of this process others used since this was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._all_s = _used_s()
        self._own_s = time.process_time()

    def share(self) -> float:
        """Their part of the time of all cores that this process may use; 0 where it is not known, or not yet."""
        cores = len(os.sched_getaffinity(0))
        passed_s = time.perf_counter() - self._began
        if passed_s < _LEAST_S:
            return 0.0
        others_s = (_used_s() - self._all_s) - (time.process_time() - self._own_s)
        return max(0.0, others_s / (passed_s * cores))


def _used_s() -> float:
    """Seconds in which the cores that this process may use were not idle; 0 where that is not told."""
    names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    try:
        lines = [line.split() for line in _STAT.read_text("ascii").splitlines()]
        ticks = sum(int(words[1 + column]) for words in lines if words and words[0] in names for column in _BUSY)
    except (OSError, ValueError, IndexError):
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")
