"""Who loads and who measures: what is measured while another model loads is measured wrong, and would be kept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 10.0
"""A load that takes longer may take for ever, on a share that hangs: nobody waits for it any more."""


class LoadTurns:
    """Lets threads load side by side, and each that measures have the machine to itself.

    Args:
        patience_s: how long one waits for another at most.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._loading: dict[int, float] = {}
        self._waiting = 0
        self._is_measured = False

    @contextmanager
    def loading(self) -> Iterator[None]:
        """To be entered by a thread for a whole load, which begins when nobody measures or waits for it."""
        thread = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._is_measured), self._patience_s)
            self._loading[thread] = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                del self._loading[thread]
                self._changed.notify_all()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """To be entered within a load, which counts as none meanwhile; one thread at a time has it."""
        thread = threading.get_ident()
        with self._changed:
            began = self._loading.pop(thread)
            self._changed.notify_all()
            self._waiting += 1
            while self._is_measured or self._remaining_s() > 0:
                self._changed.wait(self._remaining_s() or None)
            self._waiting -= 1
            self._is_measured = True
        try:
            yield
        finally:
            with self._changed:
                self._is_measured = False
                self._loading[thread] = began
                self._changed.notify_all()

    def _remaining_s(self) -> float:
        """How long the loads under way are waited for yet."""
        return max(0.0, max(self._loading.values(), default=-self._patience_s) + self._patience_s - time.monotonic())
