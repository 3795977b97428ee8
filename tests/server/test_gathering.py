"""Calls that come together go on together; one that comes alone waits for nobody."""

import asyncio

from kedge_server.gathering import Gathering


async def arrive(gathering: Gathering, order: list[int], number: int) -> None:
    if (turn := gathering.turn()) is not None:
        await turn
    order.append(number)


def useful() -> Gathering:
    gathering = Gathering()
    gathering.is_useful = True
    return gathering


def test_calls_that_come_in_turns_of_their_own_go_on_in_one():
    async def story() -> None:
        gathering, order = useful(), list[int]()
        calls = []
        for number in range(5):
            calls.append(asyncio.ensure_future(arrive(gathering, order, number)))
            await asyncio.sleep(0)
            assert order == []
        await asyncio.gather(*calls)
        assert order == [0, 1, 2, 3, 4]

    asyncio.run(story())


def test_no_more_than_a_few_dozen_wait():
    async def story() -> None:
        gathering, order = useful(), list[int]()
        calls = [asyncio.ensure_future(arrive(gathering, order, number)) for number in range(100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(order) == 100
        await asyncio.gather(*calls)

    asyncio.run(story())


def test_a_caller_that_comes_alone_time_and_again_does_not_wait():
    async def story() -> int:
        gathering, waited = useful(), 0
        for _ in range(64):
            turn = gathering.turn()
            waited += turn is not None
            if turn is not None:
                await turn
        return waited

    assert 1 <= asyncio.run(story()) <= 6


def test_nobody_waits_where_models_run_elsewhere():
    assert Gathering().turn() is None


def test_a_call_that_is_cancelled_holds_nobody_up():
    async def story() -> None:
        gathering, order = useful(), list[int]()
        calls = [asyncio.ensure_future(arrive(gathering, order, number)) for number in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert order == [0, 2]

    asyncio.run(story())
