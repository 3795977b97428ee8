"""What may never end, such as a look at a share that is gone, and how to go on without it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kedge_server.scheduler import THREAD_PREFIX

T = TypeVar("T")


async def aside(call: Callable[[], T]) -> T:
    """Call in a daemon thread of its own.

    Unlike those of `asyncio.to_thread`, it takes no place from others while it hangs, and the process ends without it.

    Raises:
        Exception: whatever `call` raises.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: Exception | None) -> None:
        if future.done():  # the caller has gone
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a result is a T where there is no error

    def run() -> None:
        result, raised = None, None
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 (raised again where it is awaited)
            raised = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(finish, result, raised)

    threading.Thread(target=run, name=f"{THREAD_PREFIX}aside", daemon=True).start()
    return await future


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Wait for some work, which is cancelled, and None, where `stop` is set before it is done.

    Raises:
        Exception: whatever `work` raises.
    """
    stopped = asyncio.ensure_future(stop.wait())
    finished = asyncio.ensure_future(work)
    await asyncio.wait({stopped, finished}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if finished.done():
        return finished.result()
    finished.cancel()
    return None
