import asyncio
import threading

import pytest

from kedge_server.aside import aside


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
