"""Calls that are cancelled, or whose deadline passes, at every stage of their way: nothing of them is left."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import grpc
import numpy as np
import pytest

from kedge_server.client import Client, ClientError
from tests.reliability.accounts import assert_it_adds_up, ended_with
from tests.reliability.held import Held, held_server
from tests.reliability.lengths import Lengths
from tests.reliability.live_objects import LiveObjects, counting_command
from tests.reliability.raw_call import INFER, RawConnection
from tests.reliability.requests import infer_request
from tests.server.callers import Callers
from tests.services.server_process import ServerProcess, running_server

LONG_ROWS = 2000
"""`slow` takes most of a second for them."""

End = Literal["cancel", "deadline"]
CODES = {"cancel": grpc.StatusCode.CANCELLED, "deadline": grpc.StatusCode.DEADLINE_EXCEEDED}


@pytest.fixture(scope="module")
def slow(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    flags = ("--instances", "1", "--queue-rows", str(2 * LONG_ROWS), "--watch", "off")
    with running_server(models / "slow", *flags, command=counting_command(tmp_path_factory.mktemp("bin"))) as running:
        yield running


@pytest.fixture(scope="module")
def live(slow: ServerProcess) -> LiveObjects:
    def ask() -> None:
        with Client(slow.grpc) as client:
            client.predict("slow", {"x": np.zeros((1, 1024), np.float32)})

    return LiveObjects(slow, ask)


@pytest.fixture
def channel(slow: ServerProcess) -> Iterator[grpc.Channel]:
    # Answers are larger than the 4 MB that gRPC takes by default.
    with grpc.insecure_channel(slow.grpc, [("grpc.max_receive_message_length", -1)]) as channel:
        yield channel


def call(channel: grpc.Channel, rows: int, timeout_s: float | None = None) -> grpc.Future:
    """Begin a call of `slow` with a connection that is there already."""
    request = infer_request("slow", np.zeros((rows, 1024)))
    return channel.unary_unary(INFER).future(request, timeout=timeout_s)  # type: ignore[no-any-return]


def ended(future: grpc.Future, how: End) -> None:
    """End a call by the caller's hand, or wait for its deadline; either way it reads the right code, and at once."""
    if how == "cancel":
        future.cancel()
        with pytest.raises(grpc.FutureCancelledError):
            future.result()
    else:
        with pytest.raises(grpc.RpcError) as caught:
            future.result()
        assert caught.value.code() is CODES[how]


@pytest.fixture(scope="module")
def held(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    with held_server(models, command=counting_command(tmp_path_factory.mktemp("bin"))) as held:
        yield held


@pytest.fixture(scope="module")
def live_held(held: Held) -> LiveObjects:
    return LiveObjects(held.server, held.ask)


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_in_the_queue(held: Held, live_held: LiveObjects, how: End):
    before = ended_with(held.server)
    first = held.hold()
    waiting = [held.call(7, timeout_s=1 if how == "deadline" else None) for _ in range(5)]
    held.server.wait_queued(35)
    for one in waiting:
        ended(one, how)
    assert not first.done()  # they did not wait for the batch before them
    held.server.wait_until("kedge_queue_rows", 0)
    held.release()
    first.result()
    assert_it_adds_up(held.server)
    live_held.assert_back_at_rest()
    assert (ended_with(held.server) - before)[CODES[how].name] == 5


def test_what_a_full_queue_refuses_is_not_kept(held: Held, live_held: LiveObjects):
    """It would have been split; so would what fills the queue."""
    first = held.hold()
    waits = held.call(1000)
    held.server.wait_queued(1000)
    refused = [held.call(100) for _ in range(5)]
    assert {call.code().name for call in refused} == {"RESOURCE_EXHAUSTED"}
    waits.cancel()
    held.server.wait_until("kedge_queue_rows", 0)
    held.release()
    first.result()
    live_held.assert_back_at_rest()


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_while_a_batch_collects(held: Held, live_held: LiveObjects, how: End):
    """Both callers are in the batch; the one that stays is answered with it."""
    before = ended_with(held.server)
    stays = held.hold()
    goes = held.join(timeout_s=1 if how == "deadline" else None)
    ended(goes, how)
    assert not stays.done()
    held.release()
    stays.result()
    assert_it_adds_up(held.server)
    live_held.assert_back_at_rest()
    assert (ended_with(held.server) - before)[CODES[how].name] == 1


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_while_the_model_runs(slow: ServerProcess, live: LiveObjects, channel: grpc.Channel, how: End):
    before = ended_with(slow)
    running = call(channel, LONG_ROWS, timeout_s=0.3 if how == "deadline" else None)
    if how == "cancel":
        slow.wait_in_flight(1)
        time.sleep(0.1)
    ended(running, how)
    assert_it_adds_up(slow)
    live.assert_back_at_rest()
    counted = (ended_with(slow) - before)[CODES[how].name]
    assert counted == 1 or (how == "deadline" and counted == 0)  # a busy machine sees it pass before it takes the call


def test_before_it_came(slow: ServerProcess, live: LiveObjects):
    before = ended_with(slow)
    with RawConnection(slow.grpc) as connection:
        connection.call(infer_request("slow", np.zeros((1, 1024))), grpc_timeout="1n")
        live.assert_back_at_rest()
    assert_it_adds_up(slow)
    assert (ended_with(slow) - before).keys() <= {"DEADLINE_EXCEEDED", "OK"}


def test_while_nobody_reads_the_answer(models: Path, tmp_path: Path):
    flags = ("--instances", "1", "--watch", "off")
    with running_server(models / "wide", *flags, command=counting_command(tmp_path)) as server:

        def ask() -> None:
            with Client(server.grpc) as client:
                client.predict("wide", {"x": np.ones((1, 1), np.float32)})

        live = LiveObjects(server, ask)
        with RawConnection(server.grpc) as connection:
            for timeout in ("", "5S", "30S"):
                connection.call(infer_request("wide", np.ones((16, 1))), grpc_timeout=timeout)
            server.wait_until("kedge_requests_started_total", 4, protocol="open-inference")
            assert_it_adds_up(server)
        live.assert_back_at_rest()


def test_at_any_moment(slow: ServerProcess, live: LiveObjects, channel: grpc.Channel, lengths: Lengths):
    """From a call's first byte, through its decoding, the queue and the run, to its last."""
    before = ended_with(slow)
    rng = np.random.default_rng(0)
    with Callers(slow.grpc, "slow", threads=1, inputs={"x": np.zeros((20, 1024), np.float32)}):
        for number in range(lengths.cancellations):
            moment_s = rng.uniform(0, 0.06)
            rows = int(rng.choice([1, 30, 600]))  # 2 MB are decoded in a thread
            if number % 2:
                one = call(channel, rows, timeout_s=moment_s)
                while not one.done():
                    time.sleep(0.001)
            else:
                one = call(channel, rows)
                time.sleep(moment_s)
                one.cancel()
    assert_it_adds_up(slow)
    live.assert_back_at_rest()
    assert {"OK", "CANCELLED", "DEADLINE_EXCEEDED"} == (ended_with(slow) - before).keys()
    with Client(slow.grpc) as client:
        assert client.predict("slow", {"x": np.zeros((30, 1024), np.float32)})["y"].shape == (30, 1024)


def test_a_deadline_is_kept_while_the_model_is_busy_with_others(slow: ServerProcess):
    busy_rows = {"x": np.zeros((90, 1024), np.float32)}
    with Callers(slow.grpc, "slow", threads=2, inputs=busy_rows) as busy, Client(slow.grpc) as client:
        busy.wait_for(answers=2)
        started = time.monotonic()
        with pytest.raises(ClientError) as caught:
            client.predict("slow", {"x": np.zeros((1, 1024), np.float32)}, timeout_s=0.002)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert time.monotonic() - started < 1.0
    assert_it_adds_up(slow)
