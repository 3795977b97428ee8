"""Whether other processes had the cores while something was measured on them, as far as the system tells."""

import os
import time
from pathlib import Path

from kedge_server.cores import usable_cores

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
        """The part that they had of the cores that this process may use; 0 where it is not known, or not yet.

        Where a quota gives it fewer cores than it may run on, others may have the rest.
        """
        own_cores = usable_cores()
        spare_cores = len(os.sched_getaffinity(0)) - own_cores
        passed_s = time.perf_counter() - self._began
        if passed_s < _LEAST_S:
            return 0.0
        others_s = (_used_s() - self._all_s) - (time.process_time() - self._own_s)
        return max(0.0, others_s / passed_s - spare_cores) / own_cores


def _used_s() -> float:
    """Seconds in which the cores that this process may use were not idle; 0 where that is not told."""
    names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    try:
        lines = [line.split() for line in _STAT.read_text("ascii").splitlines()]
        ticks = sum(int(words[1 + column]) for words in lines if words and words[0] in names for column in _BUSY)
    except (OSError, ValueError, IndexError):
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")
