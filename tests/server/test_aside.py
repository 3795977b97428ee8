import asyncio
import threading

import pytest

from kedge_server.aside import aside, unless


def test_the_result_and_the_error_come_back():
    def fail() -> None:
        raise OSError("gone")

    assert asyncio.run(aside(lambda: threading.current_thread().daemon)) is True
    with pytest.raises(OSError, match="gone"):
        asyncio.run(aside(fail))


def test_a_call_that_hangs_holds_up_neither_others_nor_the_end():
    released = threading.Event()

    async def story() -> int:
        hanging = [asyncio.ensure_future(aside(released.wait)) for _ in range(50)]
        await asyncio.sleep(0)
        answer = await asyncio.wait_for(aside(lambda: 7), 10)
        for each in hanging:
            each.cancel()
        return answer

    assert asyncio.run(story()) == 7  # returns with fifty calls still under way
    released.set()


def test_work_goes_on_unless_it_is_to_stop():
    async def fail() -> None:
        raise OSError("gone")

    async def story() -> None:
        stop = asyncio.Event()
        assert await unless(stop, asyncio.sleep(0, 7)) == 7
        with pytest.raises(OSError, match="gone"):
            await unless(stop, fail())
        cancelled = asyncio.Event()

        async def never() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        asyncio.get_running_loop().call_later(0.05, stop.set)
        assert await unless(stop, never()) is None
        await asyncio.wait_for(cancelled.wait(), 10)

    asyncio.run(story())
