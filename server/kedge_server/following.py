"""When to look at the repository: as soon as it changes where that is told, and from time to time all the same."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from kedge_server.reconciler import SETTLED_S, Reconciler
from kedge_server.watcher import Watcher

_LOOK_S, _BLIND_LOOK_S = 10.0, 2.0
"""How often to look at the repository where changes are told, and where they are not or the repository is gone."""

_log = structlog.get_logger("kedge.repository")


async def follow(reconciler: Reconciler) -> None:
    """Begin rounds until cancelled."""
    changed = asyncio.Event()
    watcher: Watcher | None = None
    watched: tuple[int, int] | None = None
    try:
        while True:
            changed.clear()
            identity = await _seen_identity(reconciler)
            is_new = identity is not None and identity != watched  # also one in the old one's place
            if is_new:
                if watcher is not None:
                    watcher.close()
                watcher = Watcher(reconciler.repository.path, _setting(changed))
            watched = identity
            is_blind = identity is None or watcher is None or not watcher.is_alive
            look_s = _BLIND_LOOK_S if is_blind else _LOOK_S
            if is_new or not reconciler.is_settled:  # new: what has changed before it was watched is seen then
                look_s = SETTLED_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), look_s)
    finally:
        if watcher is not None:
            watcher.close()


async def _seen_identity(reconciler: Reconciler) -> tuple[int, int] | None:
    """Do a round whatever comes of it: a fault of ours must not end the watch."""
    try:
        return (await reconciler.bring_about()).identity
    except Exception:  # noqa: BLE001 (as the docstring says)
        _log.exception("look_failed")
        return None


def _setting(changed: asyncio.Event) -> Callable[[], None]:
    """What another thread calls to set the event."""
    loop = asyncio.get_running_loop()

    def set_it() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(changed.set)

    return set_it
