import asyncio
from collections.abc import Awaitable, Callable

from kedge_server.wire.stream_room import StreamRoom, StreamRooms

CONNECTION = "ipv4:127.0.0.1:1"


def told(story: Callable[[StreamRooms], Awaitable[None]], unread_bytes: int = 1000) -> None:
    async def tell() -> None:
        await story(StreamRooms(unread_bytes))

    asyncio.run(tell())


async def has_room(room: StreamRoom, own: int = 1) -> bool:
    """Whether one more may wait; if so, it does."""
    try:
        await asyncio.wait_for(room.take(range(own)), 0.02)
    except TimeoutError:
        return False
    return True


def test_before_an_answer_is_seen_few_may_wait_of_a_stream_and_of_all():
    async def story(rooms: StreamRooms) -> None:
        room = rooms.enter(CONNECTION)
        assert not await has_room(room, own=16)
        assert [await has_room(room) for _ in range(33)] == [True] * 32 + [False]
        assert await has_room(room, own=0), "a stream of which none waits"
        assert await has_room(rooms.enter("another"))

    told(story)


def test_afterwards_as_many_as_may_be_kept_of_the_largest_on_all_streams_of_a_connection():
    async def story(rooms: StreamRooms) -> None:
        one, other = rooms.enter(CONNECTION), rooms.enter(CONNECTION)
        assert await has_room(one)
        one.give_back(answer_bytes=200)
        assert [await has_room(one) for _ in range(3)] == [True] * 3
        assert [await has_room(other) for _ in range(3)] == [True, True, False]

    told(story)


def test_one_answer_may_be_larger_than_all_that_may_be_kept():
    async def story(rooms: StreamRooms) -> None:
        room = rooms.enter(CONNECTION)
        assert await has_room(room)
        room.give_back(answer_bytes=5000)
        assert [await has_room(room), await has_room(room)] == [True, False]

    told(story)


def test_of_small_answers_many_may_wait_on_a_stream():
    async def story(rooms: StreamRooms) -> None:
        room = rooms.enter(CONNECTION)
        assert await has_room(room)
        room.give_back(answer_bytes=1)
        assert [await has_room(room, own) for own in range(1, 257)] == [True] * 255 + [False]

    told(story)


def test_whoever_waits_goes_on_when_an_answer_is_gone_or_another_stream_ends():
    async def story(rooms: StreamRooms) -> None:
        room = rooms.enter(CONNECTION)
        rooms.enter(CONNECTION)
        assert await has_room(room)
        room.give_back(answer_bytes=1000)
        assert await has_room(room)
        blocked = asyncio.ensure_future(room.take(range(1)))
        await asyncio.sleep(0)
        assert not blocked.done()
        room.give_back(answer_bytes=1000)
        await asyncio.wait_for(blocked, 1)
        blocked = asyncio.ensure_future(room.take(range(1)))
        await asyncio.sleep(0)
        rooms.leave(CONNECTION, waiting=1)
        await asyncio.wait_for(blocked, 1)

    told(story)


def test_a_stream_whose_last_answer_is_gone_goes_on_though_others_take_up_all_room():
    async def story(rooms: StreamRooms) -> None:
        room = rooms.enter(CONNECTION)
        own = [0]
        assert [await has_room(room), await has_room(room)] == [True, True]
        room.give_back(answer_bytes=600)
        assert await has_room(room, own=0)
        blocked = asyncio.ensure_future(room.take(own))
        await asyncio.sleep(0)
        own.clear()
        room.give_back(answer_bytes=600)
        await asyncio.wait_for(blocked, 1)

    told(story)


def test_nothing_is_kept_of_a_connection_without_streams():
    async def story(rooms: StreamRooms) -> None:
        rooms.enter(CONNECTION)
        rooms.enter(CONNECTION)
        rooms.leave(CONNECTION, waiting=0)
        rooms.leave(CONNECTION, waiting=0)
        assert not rooms._rooms

    told(story)
