"""More calls than a server can answer: each is told so with the right code, and nothing grows."""

import asyncio
import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from kedge_server.client import Client, ClientError
from tests.reliability.accounts import assert_it_adds_up, ended_with
from tests.reliability.footprint import Footprint
from tests.reliability.held import held_server
from tests.reliability.lengths import Lengths
from tests.reliability.raw_call import INFER
from tests.reliability.requests import infer_request
from tests.services.server_process import ServerProcess, running_server

QUEUE_ROWS = 2000
ROUND = 300
"""Calls that are refused in the ten seconds that a server can be held."""

GROWTH_MB = 32.0


def refused_calls(server: ServerProcess, calls: int) -> list[ClientError | None]:
    """Ask for 16 rows, 64 kB, over and over from eight threads."""
    x = {"x": np.zeros((16, 1024), np.float32)}

    def ask(number: int) -> ClientError | None:
        try:
            clients[number % len(clients)].predict("any", x, timeout_s=60)
        except ClientError as error:
            return error
        return None

    clients = [Client(server.grpc) for _ in range(8)]
    with ThreadPoolExecutor(len(clients)) as pool:
        errors = list(pool.map(ask, range(calls)))
    for client in clients:
        client.close()
    return errors


@pytest.mark.timeout(600)
def test_a_full_queue_refuses_everybody_and_nothing_grows(models: Path, lengths: Lengths):
    errors: list[ClientError | None] = []
    resident_mb = []
    with held_server(models, "--queue-rows", str(QUEUE_ROWS)) as held:
        for _ in range(lengths.refusals // ROUND):
            first = held.hold()
            waits = held.call(QUEUE_ROWS)
            held.server.wait_queued(QUEUE_ROWS)
            errors += refused_calls(held.server, ROUND)
            assert held.server.metric("kedge_queue_rows") == QUEUE_ROWS
            resident_mb.append(Footprint.of(held.server).resident_mb)
            waits.cancel()
            held.server.wait_until("kedge_queue_rows", 0)  # what fills the batch up needs room, too
            held.release()
            first.result()
        assert Counter(error.code if error else "OK" for error in errors) == {"RESOURCE_EXHAUSTED": len(errors)}
        assert all(error and error.retry_after_s and 0.01 <= error.retry_after_s <= 30 for error in errors)
        assert "2000 of 2000 rows wait, 16 more do not fit" in str(errors[0])
        assert resident_mb[-1] - resident_mb[0] < GROWTH_MB, resident_mb
        assert_it_adds_up(held.server)
        assert held.server.metric("kedge_rejections_total", model="any", reason="queue_full") == len(errors)


def test_what_fits_into_the_queue_is_answered_and_the_rest_is_refused(models: Path):
    with held_server(models, "--queue-rows", "56") as held:
        first = held.hold()
        calls = [held.call(4) for _ in range(24)]
        fit, refused = calls[:14], calls[14:]
        assert {call.code().name for call in refused} == {"RESOURCE_EXHAUSTED"}
        assert not any(call.done() for call in fit)
        for _ in range(2):  # what fills the batch up needs room, too
            fit.pop().cancel()
        held.server.wait_until("kedge_queue_rows", 56 - 8)
        held.release()
        assert {call.code().name for call in (first, *fit)} == {"OK"}
        assert_it_adds_up(held.server)
        assert ended_with(held.server)["RESOURCE_EXHAUSTED"] == 10


def test_thousands_of_calls_at_once_are_all_answered(models: Path):
    """Beyond a thousand that wait to be looked at, gRPC by itself cancels some, which then read CANCELLED."""
    request = infer_request("identity", np.zeros((1, 4)))

    async def calls(address: str) -> Counter[str]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with contextlib.AsyncExitStack() as stack:
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options)) for _ in range(8)
            ]
            waiting = [channel.unary_unary(INFER)(request, timeout=60) for channel in channels for _ in range(400)]
            return Counter([(await call.code()).name for call in waiting])

    with running_server(models / "identity") as server:
        assert asyncio.run(calls(server.grpc)) == {"OK": 3200}
        assert server.metric("kedge_requests_total", model="identity", code="OK", protocol="open-inference") == 3200
