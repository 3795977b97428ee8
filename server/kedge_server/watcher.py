"""Tells when something in a directory changes: the operating system's notifications, by way of watchfiles.

A notification is a hint and no more: shares over a network send none, and a directory that is replaced takes its
watches along. So somebody has to look from time to time all the same.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

_STEP_MS, _DEBOUNCE_MS = 100, 500
"""How long it has to be still before a change is told, and how long that may be put off."""

_log = structlog.get_logger("kedge.watcher")


class Watcher:
    """A thread that waits for changes under a directory.

    Args:
        directory: with everything below it.
        on_change: called in that thread.
    """

    def __init__(self, directory: Path, on_change: Callable[[], None]) -> None:
        self._directory = directory
        self._on_change = on_change
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="repository watcher", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether changes are told; False where the directory cannot be watched."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread, within a step."""
        self._stop.set()

    def _watch(self) -> None:
        from watchfiles import watch  # noqa: PLC0415 (a server that watches nothing does without it)

        try:
            for _ in watch(
                self._directory,
                watch_filter=None,
                debounce=_DEBOUNCE_MS,
                step=_STEP_MS,
                stop_event=self._stop,
                ignore_permission_denied=True,
            ):
                self._on_change()
        except Exception as error:  # noqa: BLE001 (the limit of watches, a directory that has gone, watchfiles' own)
            _log.warning("not_notified", directory=str(self._directory), error=f"{type(error).__name__}: {error}")
