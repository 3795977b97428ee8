"""Calls that come while the loop is busy go on together.

A small request costs three times as much when gRPC's code ran before it as when another request did: everything it
needs has left the processor's caches. gRPC hands over one call in each turn of the loop, so calls are held back for
some microseconds, while others are still coming, and then run one after the other; models that are as quick as that
run their rows in one batch then. Knows neither wire nor models.
"""

import asyncio

_MOST = 32
_LOOKS = 40
"""Turns of an idle loop, of two microseconds each, in which the next call may come: gRPC takes so long for one."""
_TRIED_EVERY = 16
"""While calls come one by one nobody waits, but for one try in so many: more callers may have come meanwhile."""


class Gathering:
    """Where calls wait for each other. Used on the event loop's thread.

    Attributes:
        is_useful: whether the models that are asked answer on the event loop; else nobody waits.
    """

    def __init__(self) -> None:
        self.is_useful = False
        self._waiting: list[asyncio.Future[None]] = []
        self._seen = 0
        self._looks = 0
        self._alone = 0

    def turn(self) -> asyncio.Future[None] | None:
        """What a call waits for, some dozens of microseconds, while others are about to come; None: for nothing."""
        if not self.is_useful or (not self._waiting and not self._is_tried()):
            return None
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append(future)
        if len(self._waiting) == 1:
            self._seen = self._looks = 0
            loop.call_soon(self._look, loop)
        return future

    def _is_tried(self) -> bool:
        """Whether calls came together lately, or it is time to see whether they do."""
        self._alone += 1
        return self._alone <= 1 or self._alone % _TRIED_EVERY == 0

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let all go on where enough have come, or none has for a while."""
        count = len(self._waiting)
        if count > self._seen:
            self._seen, self._looks = count, 0
        self._looks += 1
        if count < _MOST and self._looks <= _LOOKS:
            loop.call_soon(self._look, loop)
            return
        waiting, self._waiting = self._waiting, []
        if count > 1:
            self._alone = 0
        for future in waiting:
            if not future.done():
                future.set_result(None)
