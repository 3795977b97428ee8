"""What signals do to the server: the first one asks it to stop, a second one ends it."""

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import Callable

import structlog

_SAME_SIGNAL_S = 0.5
"""A supervisor may signal a process and its group, a shell and its child: what comes so soon after the first signal is
the same wish, not a second one."""

_log = structlog.get_logger("kedge")


def catch_signals(stop: asyncio.Event, in_flight: Callable[[], int], code: int) -> None:
    """The first SIGTERM or SIGINT sets `stop`; one that comes half a second later or more ends the process at once.

    Args:
        stop: asks the server to stop.
        in_flight: how many requests have no answer yet.
        code: the exit code where the process is ended at once.
    """
    loop = asyncio.get_running_loop()
    first_at = math.inf

    def on_signal(number: signal.Signals) -> None:
        nonlocal first_at
        now = time.monotonic()
        if now >= first_at + _SAME_SIGNAL_S:
            _log.warning("stopped_at_once", signal=number.name, in_flight=in_flight())
            exit_now(code)
        first_at = min(first_at, now)
        if not stop.is_set():
            _log.info("stopping", signal=number.name)
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


def exit_now(code: int) -> None:
    """End the process without waiting for any thread."""
    logging.shutdown()
    os._exit(code)
