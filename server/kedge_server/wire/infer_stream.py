"""ModelStreamInfer: many requests on one stream, each answered as ModelInfer answers it.

An error is the answer to its request (`error_message`, and in `infer_response` its id); the stream goes on. Answers
come in the order of their requests, or, where the caller's metadata say `kedge-order: any`, as soon as each is ready.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import grpc

from kedge_server.models import ModelTable
from kedge_server.wire.status import Context
from kedge_server.wire.stream_room import StreamRoom, StreamRooms

ORDER_KEY, ANY_ORDER = "kedge-order", "any"

_Writing = asyncio.Queue["asyncio.Task[Answered] | None"]


class Answered(NamedTuple):
    """The answer to one request of a stream, and whether its model answers on the event loop, without waiting."""

    data: bytes
    is_immediate: bool


class InferStream:
    """One stream, from its first request to its last answer.

    Args:
        answer: gives the bytes of a ModelStreamInferResponse to those of a ModelInferRequest; raises nothing.
        models: told of a drain, which ends the stream: whatever was read is answered, then UNAVAILABLE.
        context: of the call.
        rooms: bound the requests that wait for their answers; the next one is read when one of them has it.
    """

    def __init__(
        self,
        answer: Callable[[bytes], Awaitable[Answered]],
        models: ModelTable,
        context: Context,
        rooms: StreamRooms,
    ) -> None:
        self._answer = answer
        self._models = models
        self._context = context
        self._rooms = rooms
        asked = dict(context.invocation_metadata() or ())
        self._is_ordered = asked.get(ORDER_KEY) != ANY_ORDER
        self._is_immediate = False
        self._is_asking = False
        self._is_ending = False
        self._waiting: set[asyncio.Task[Answered]] = set()
        self._writing: _Writing = asyncio.Queue()
        self._nothing_waits = asyncio.Event()
        self._nothing_waits.set()

    async def run(self) -> None:
        """Answer until the caller has said all, is gone, or the server drains."""
        connection = self._context.peer()
        room = self._rooms.enter(connection)
        reading = asyncio.ensure_future(self._read(room))
        writing = asyncio.ensure_future(self._write(room))
        watching = asyncio.ensure_future(self._until_draining())
        try:
            await asyncio.wait({reading, writing, watching}, return_when=asyncio.FIRST_COMPLETED)
            is_cut = watching.done()
            self._is_ending = True
            if is_cut and not self._is_asking:  # what was read is answered, also what waits for room
                await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            await asyncio.wait({reading, *self._waiting})
            self._writing.put_nowait(None)
            await writing
            if not is_cut:
                reading.result()
        finally:
            for task in (reading, writing, watching, *self._waiting):
                task.cancel()
            self._rooms.leave(connection, len(self._waiting))
        if is_cut:
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping; ask another one")

    async def _read(self, room: StreamRoom) -> None:
        """Answer each request as it comes: at once where its model needs no waiting, else beside the others."""
        while not self._is_ending and (data := await self._next()) is not None:
            if self._is_immediate:
                await self._nothing_waits.wait()
                answered = await self._answer(data)
                self._is_immediate = answered.is_immediate
                await self._context.write(answered.data)
                continue
            await room.take(self._waiting)
            task = asyncio.ensure_future(self._answer(data))
            self._waiting.add(task)
            self._nothing_waits.clear()
            if self._is_ordered:
                self._writing.put_nowait(task)
            else:
                task.add_done_callback(self._writing.put_nowait)
            task.add_done_callback(self._note_kind)

    async def _next(self) -> bytes | None:
        """The next request; None at the end of the stream."""
        self._is_asking = True
        data: object = await self._context.read()
        self._is_asking = False
        return data if isinstance(data, bytes) else None

    async def _write(self, room: StreamRoom) -> None:
        while (task := await self._writing.get()) is not None:
            answered = await task
            await self._context.write(answered.data)
            self._waiting.discard(task)
            room.give_back(len(answered.data))
            if not self._waiting:
                self._nothing_waits.set()

    def _note_kind(self, task: "asyncio.Task[Answered]") -> None:
        """What the last answer tells of the next: streams go to one model, as a rule."""
        if not task.cancelled():
            self._is_immediate = task.result().is_immediate

    async def _until_draining(self) -> None:
        while not self._models.is_draining:
            await self._models.changed(self._models.generation)
