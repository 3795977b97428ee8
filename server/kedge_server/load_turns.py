"""Who loads and who measures: what is measured while another model loads is measured wrong, and would be kept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE_S = 20.0
"""What takes longer may take for ever, on a share that hangs: nobody waits for it any more. Twice what the longest
measurement of a model takes."""


@dataclass
class Measurement:
    """`began`: in `time.monotonic()` seconds. `was_alone`: whether nobody else loaded or measured until its end."""

    began: float
    was_alone: bool


class LoadTurns:
    """Lets threads load side by side, and each that measures have the machine to itself.

    Args:
        patience_s: how long others are waited for, from when they began.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._changed = threading.Condition()
        # By their threads; loads, and those that wait to measure, with when they began.
        self._loading: dict[int, float] = {}
        self._waiting: dict[int, float] = {}
        self._measuring: dict[int, Measurement] = {}

    @contextmanager
    def loading(self) -> Iterator[None]:
        """To be entered by a thread for a whole load, which begins when nobody measures or waits for it."""
        thread = threading.get_ident()
        with self._changed:
            self._wait_for(self._waiting)
            self._load(thread, time.monotonic())
        try:
            yield
        finally:
            with self._changed:
                del self._loading[thread]
                self._changed.notify_all()

    @contextmanager
    def measuring(self) -> Iterator[Measurement]:
        """To be entered within a load, which counts as none meanwhile."""
        thread = threading.get_ident()
        with self._changed:
            waits_since = time.monotonic()
            began = self._loading.pop(thread)
            self._waiting[thread] = waits_since
            self._changed.notify_all()
            self._wait_for(self._loading)
            del self._waiting[thread]
            is_alone = not (self._loading or self._measuring)
            self._disturb()
            measurement = self._measuring[thread] = Measurement(time.monotonic(), is_alone)
        try:
            yield measurement
        finally:
            with self._changed:
                del self._measuring[thread]
                self._load(thread, began + time.monotonic() - waits_since)
                self._changed.notify_all()

    def _load(self, thread: int, began: float) -> None:
        self._loading[thread] = began
        self._disturb()

    def _disturb(self) -> None:
        """Whoever measures now is not alone."""
        for measurement in self._measuring.values():
            measurement.was_alone = False

    def _wait_for(self, others: dict[int, float]) -> None:
        """Wait until none of these is left and nobody measures, but for what began too long ago."""
        while begins := [*others.values(), *(one.began for one in self._measuring.values())]:
            left = max(begins) + self._patience_s - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)
