"""How much of the machine this process may use."""

import os
from pathlib import Path


def usable_cores() -> int:
    """The cores that this process may use: its affinity, and the quota of its control group (version 2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
    except (OSError, ValueError):  # no such control group: the affinity is all there is
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))
