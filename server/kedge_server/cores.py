"""How much of the machine this process may use, and which of its threads go first."""

import os
import threading
from pathlib import Path

import structlog

_BEHIND = 3
"""Of `nice`, for threads that compute: half of the weight. More gains nothing here, and other processes take more."""

_log = structlog.get_logger("kedge")


def usable_cores() -> int:
    """The cores that this process may use: its affinity, and the quota of its control group (version 2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
    except (OSError, ValueError):  # no such control group: the affinity is all there is
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def go_behind() -> None:
    """Let the event loop and gRPC go before this thread, and before those that it starts.

    They have some microseconds of work at a time, for which everybody waits; a model computes for milliseconds, and the
    system would let it finish its turn first.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BEHIND)
    except OSError as error:  # a sandbox may refuse: everything works then, only slower
        _log.debug("no_precedence", thread=threading.current_thread().name, because=str(error))
