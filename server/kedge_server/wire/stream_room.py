"""How many requests of the streams on one connection may wait for their answers.

gRPC keeps in memory what a caller does not read, and all streams of a connection have the same caller. One request of
each stream may wait in any case.
"""

import asyncio
from collections.abc import Sized

_FIRST_OF_STREAM, _MOST_OF_STREAM = 16, 256
"""Requests of one stream; fewer until it is known how large the answers on its connection are."""

_FIRST_OF_CONNECTION = 32
"""Requests of all streams of a connection until that is known."""


class StreamRooms:
    """The connections on which there are streams. Used on the event loop's thread.

    Args:
        unread_bytes: what answers to one connection that are not sent yet may hold in memory; one may be larger.
    """

    def __init__(self, unread_bytes: int) -> None:
        self._unread_bytes = unread_bytes
        self._rooms: dict[str, StreamRoom] = {}

    def enter(self, connection: str) -> "StreamRoom":
        """The room that a new stream has; whoever enters leaves."""
        room = self._rooms.setdefault(connection, StreamRoom(self._unread_bytes))
        room.streams += 1
        return room

    def leave(self, connection: str, waiting: int) -> None:
        """A stream ends, and with it so many requests that waited."""
        room = self._rooms[connection]
        room.streams -= 1
        room.release(waiting)
        if not room.streams:
            del self._rooms[connection]


class StreamRoom:
    """What the streams of one connection share.

    Attributes:
        streams: how many there are.
    """

    def __init__(self, unread_bytes: int) -> None:
        self.streams = 0
        self._unread_bytes = unread_bytes
        self._waiting = 0
        self._largest = 0
        self._changed = asyncio.Event()

    async def take(self, own: Sized) -> None:
        """Wait until one more request may wait, of a stream of which these do."""
        while not self._has_room(len(own)):
            self._changed.clear()
            await self._changed.wait()
        self._waiting += 1

    def give_back(self, answer_bytes: int) -> None:
        """An answer of this size was handed over."""
        self._largest = max(self._largest, answer_bytes)
        self.release(1)

    def release(self, waiting: int) -> None:
        """So many wait no more."""
        self._waiting -= waiting
        self._changed.set()

    def _has_room(self, own: int) -> bool:
        if not own:  # a caller that reads one stream after the other would wait for ever for what others take up
            return True
        if not self._largest:
            return own < _FIRST_OF_STREAM and self._waiting < _FIRST_OF_CONNECTION
        return own < _MOST_OF_STREAM and self._waiting < max(1, self._unread_bytes // self._largest)
