"""Calls that may hang for ever, such as a look at a share that is gone: each in a thread that nobody waits for."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

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
