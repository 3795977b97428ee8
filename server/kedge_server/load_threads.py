"""Threads that load bundles while the event loop answers probes."""

import asyncio
import queue
import threading
from collections.abc import Sequence

import structlog

from kedge_bundle.toolchain import other_versions
from kedge_server.cores import usable_cores
from kedge_server.loading import LoadFailed, Place, Prepared, prepare
from kedge_server.precedence import go_behind
from kedge_server.scheduler import THREAD_PREFIX
from kedge_server.session import Options

Outcome = Prepared | LoadFailed

_log = structlog.get_logger("kedge.loading")


class LoadThreads:
    """Loads every place, several at once. Made and read on the event loop's thread.

    Args:
        places: what to load.
        options: how.
    """

    def __init__(self, places: Sequence[Place], options: Options) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._outcomes: asyncio.Queue[tuple[Place, Outcome]] = asyncio.Queue()
        self._is_stopped = False
        self._waiting: queue.SimpleQueue[Place] = queue.SimpleQueue()
        for place in places:
            self._waiting.put(place)
        # Daemons: a load cannot be interrupted, and a server that is told to stop must not wait for it.
        self._threads = [
            threading.Thread(target=self._load, name=f"{THREAD_PREFIX}load #{i}", daemon=True)
            for i in range(min(len(places), usable_cores()))
        ]
        for thread in self._threads:
            thread.start()

    async def next(self) -> tuple[Place, Outcome]:
        """Wait for the next place that is loaded, or cannot be."""
        return await self._outcomes.get()

    def stop(self) -> None:
        """Begin no further load."""
        self._is_stopped = True

    def _load(self) -> None:
        go_behind(self._options.compute_nice)  # so do the threads of the runtimes that are opened here
        while not self._is_stopped:
            try:
                place = self._waiting.get_nowait()
            except queue.Empty:
                return
            outcome = _outcome(place, self._options)
            if not self._is_stopped:
                self._loop.call_soon_threadsafe(self._outcomes.put_nowait, (place, outcome))


def _outcome(place: Place, options: Options) -> Outcome:
    """Load one place; what goes wrong is an outcome, also what nobody has foreseen."""
    try:
        outcome = prepare(place, options)
        _warn_of_other_versions(place, outcome)
        _warn_of_unproven_options(place, outcome)
    except LoadFailed as error:
        return error
    except Exception as error:  # noqa: BLE001 (a broken bundle must not keep the good ones from serving)
        _log.exception("load_raised", model=place.name, version=place.version)
        return LoadFailed(f"{place.directory}: {type(error).__name__}: {error}")
    return outcome


def _warn_of_other_versions(place: Place, prepared: Prepared) -> None:
    """Name the versions that made the bundle where others are in use; it has just proven itself with these."""
    for other in other_versions(prepared.bundle.manifest, prepared.artifact.format):
        _log.warning(
            "made_with_another_version",
            model=place.name,
            version=place.version,
            package=other.package,
            bundle=other.bundle,
            here=other.here,
        )


def _warn_of_unproven_options(place: Place, prepared: Prepared) -> None:
    """Say what was wanted and is not proven: it is served all the same, or the CPU stands in for a GPU."""
    if prepared.unproven:
        event = "gpu_not_proven" if prepared.unproven == prepared.no_gpu_because else "options_not_proven"
        _log.warning(event, model=place.name, version=place.version, because=prepared.unproven)
