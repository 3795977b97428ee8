"""Which threads of the server get a core first, where there are more of them than cores: those that answer.

What the event loop and gRPC do for a request takes microseconds, and everybody waits for it; a model computes for
milliseconds, and the system would let it finish its turn. Linux only; elsewhere, and where a sandbox refuses, the
threads are alike.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

_MOST_NICE = 19
_log = structlog.get_logger("kedge")


def go_behind(nice: int) -> None:
    """Let the other threads go before this one and those that it begins from now on.

    Args:
        nice: how far, in steps of `nice`: each takes a fifth off this thread's share of a core that others want.
    """
    if sys.platform != "linux" or not nice:
        return
    thread = threading.get_native_id()
    try:
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(now + nice, _MOST_NICE))
    except OSError as error:
        _tell(error)


@contextmanager
def polite() -> Iterator[None]:
    """Threads that are begun while entered take no core from another thread when they wake up: they wait for its turn.

    For gRPC's: they wake up a dozen times for a request, and each time, what the event loop does or a model computes
    would go on with cold caches.
    """
    is_polite = False
    if sys.platform == "linux":
        try:
            if os.sched_getscheduler(0) == os.SCHED_OTHER:  # else somebody has chosen already
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
                is_polite = True
        except OSError as error:
            _tell(error)
    try:
        yield
    finally:
        if is_polite:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _tell(error: OSError) -> None:
    _log.debug("no_precedence", thread=threading.current_thread().name, because=str(error))
