"""What a process holds: memory, file descriptors, threads. Read from outside of it, in /proc."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.services.server_process import ServerProcess

SETTLED_S = 60.0
"""gRPC ends a thread that it does not need any more after 20 seconds."""


@dataclass(frozen=True)
class Footprint:
    """One look at a process."""

    resident_mb: float
    descriptors: int
    threads: int

    @classmethod
    def of(cls, server: ServerProcess) -> "Footprint":
        directory = Path(f"/proc/{server.process.pid}")
        lines = (directory / "status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        return cls(
            resident_mb=int(status["VmRSS"].split()[0]) / 1024,
            descriptors=len(list((directory / "fd").iterdir())),
            threads=int(status["Threads"]),
        )


def settled(server: ServerProcess, is_settled: Callable[[Footprint], bool] | None = None) -> Footprint:
    """The footprint once connections that were closed are gone, threads of the metrics page too.

    Without a condition of the caller's: once two looks in a row saw the same descriptors and threads.
    """
    end = time.monotonic() + SETTLED_S
    last = Footprint.of(server)
    while time.monotonic() < end:
        time.sleep(0.3)
        now = Footprint.of(server)
        is_same = (now.descriptors, now.threads) == (last.descriptors, last.threads)
        if is_settled(now) if is_settled else is_same:
            return now
        last = now
    return last


def assert_no_more(server: ServerProcess, before: Footprint, growth_mb: float, pool_threads: int = 0) -> None:
    """Wait until there are no more descriptors and threads than before, and look at the memory then.

    Args:
        server: at rest.
        before: what it had.
        growth_mb: how much its memory may have grown.
        pool_threads: how many more threads it may have: those that a pool has not needed before.
    """
    threads = before.threads + pool_threads
    after = settled(server, lambda now: now.descriptors <= before.descriptors and now.threads <= threads)
    assert after.descriptors <= before.descriptors, (before, after)
    assert after.threads <= threads, (before, after)
    assert after.resident_mb - before.resident_mb < growth_mb, (before, after)
