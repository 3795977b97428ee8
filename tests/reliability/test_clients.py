"""Clients that go away, or stay and do not take part: the others are served, and nothing of them is left behind."""

import contextlib
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from kedge_server.client import Client
from tests.reliability.accounts import assert_it_adds_up, ended_with
from tests.reliability.footprint import assert_no_more, settled
from tests.reliability.raw_call import FIRST_WINDOW, STREAM, RawConnection
from tests.reliability.requests import infer_request
from tests.services.server_process import ServerProcess, running_server

UNREAD_CALLS, UNREAD_ROWS = 12, 16
"""Answers of 4 MB each."""

GROWTH_MB = 16.0
ANSWERED_AT_ONCE = 16
"""Of four rows each: by two instances with batches of 32 rows."""


@pytest.fixture
def wide(models: Path) -> Iterator[ServerProcess]:
    with running_server(models / "wide") as running:
        ask(running)
        yield running


def ask(server: ServerProcess) -> None:
    with Client(server.grpc) as client:
        assert client.predict("wide", {"x": np.ones((1, 1), np.float32)}, timeout_s=20)["y"].shape == (1, 65_536)


def wait_ended(server: ServerProcess, requests: int, *codes: str) -> None:
    """Wait until so many have ended with one of these."""
    end = time.monotonic() + 20
    while sum(ended_with(server)[code] for code in codes) < requests:
        assert time.monotonic() < end, f"{ended_with(server)} of {requests} have ended"
        time.sleep(0.02)


KILLED_CALLER = """
import sys
import numpy as np
from kedge_server.client import Client
print("calling", flush=True)
while True:
    Client(sys.argv[1]).predict("slow", {"x": np.zeros((300, 1024), np.float32)})
"""


def test_callers_that_are_killed_leave_nothing_behind(models: Path):
    with running_server(models / "slow", "--instances", "1") as server:
        killed = [
            subprocess.Popen([sys.executable, "-c", KILLED_CALLER, server.grpc], stdout=subprocess.PIPE)
            for _ in range(3)
        ]
        server.wait_in_flight(2)
        for process in killed:
            process.kill()
            process.communicate()
        assert_it_adds_up(server)
        assert ended_with(server)["CANCELLED"] > 0
        with Client(server.grpc) as client:
            assert client.predict("slow", {"x": np.zeros((30, 1024), np.float32)})["y"].shape == (30, 1024)


def test_clients_that_end_in_the_middle_of_a_message_leave_nothing_behind(wide: ServerProcess):
    before = settled(wide)
    message = bytes(32 << 20)
    for sent in (0, 3, 5, 6, 16_384, FIRST_WINDOW) * 5:
        with RawConnection(wide.grpc) as connection:
            connection.call(message, sent=sent)
            ask(wide)
    assert_no_more(wide, before, GROWTH_MB)
    assert ended_with(wide)["OK"] == 31
    assert_it_adds_up(wide)


def test_a_client_that_stops_in_the_middle_of_a_message_holds_no_stop_up(wide: ServerProcess):
    with RawConnection(wide.grpc) as connection:
        connection.call(bytes(32 << 20), sent=16_384)
        ask(wide)
        started = time.monotonic()
        assert wide.stop() == 0
        assert time.monotonic() - started < 5


def test_a_client_that_does_not_read_keeps_nobody_from_their_answers(wide: ServerProcess):
    """Its answers wait for it, and go when it goes: the second such client finds the memory of the first."""
    resident_mb = []
    for number in range(1, 4):
        with RawConnection(wide.grpc) as connection:
            for _ in range(UNREAD_CALLS):
                connection.call(infer_request("wide", np.ones((UNREAD_ROWS, 1))))
            wait_ended(wide, 1 + number * UNREAD_CALLS + 5 * (number - 1), "OK")
            for _ in range(5):
                ask(wide)
            resident_mb.append(settled(wide).resident_mb)
    assert resident_mb[-1] - resident_mb[0] < GROWTH_MB, resident_mb
    assert_it_adds_up(wide)


def test_what_a_client_leaves_unread_is_bounded_and_refused_in_words(models: Path):
    with running_server(models / "wide", "--unread-mb", "8", "--instances", "2") as server:
        ask(server)  # large answers are counted from the first one on
        before = settled(server)
        for number in range(1, 3):  # the second finds what the runtime keeps for its largest batch
            with RawConnection(server.grpc) as connection:
                for _ in range(80):
                    connection.call(infer_request("wide", np.ones((4, 1))))  # answers of 1 MB
                wait_ended(server, 81 * number, "OK", "RESOURCE_EXHAUSTED")
                ask(server)  # another connection gets what it asks for
                answered = ended_with(server)["OK"] - number - 1
                assert 7 * number <= answered <= (7 + ANSWERED_AT_ONCE) * number  # each a little more than 1 MB
                assert ended_with(server)["RESOURCE_EXHAUSTED"] == 80 * number - answered
                if number == 2:
                    unread = settled(server)
                    assert unread.resident_mb - before.resident_mb < 8 + ANSWERED_AT_ONCE + GROWTH_MB
            before = settled(server)
        refused = server.metric("kedge_rejections_total", model="wide", version="1", reason="answers_unread")
        assert refused == ended_with(server)["RESOURCE_EXHAUSTED"]
        assert_it_adds_up(server)


def test_a_connection_that_has_read_is_answered_again(models: Path):
    with running_server(models / "wide", "--unread-mb", "1") as server, Client(server.grpc) as client:
        for _ in range(20):
            assert client.predict("wide", {"x": np.ones((8, 1), np.float32)})["y"].shape == (8, 65_536)  # 2 MB
        assert ended_with(server)["OK"] == ended_with(server).total() == 20


def test_a_stream_that_is_not_read_is_not_served_further(models: Path):
    def requests() -> Iterator[bytes]:
        for _ in range(200):
            yield infer_request("wide", np.ones((4, 1)))

    with running_server(models / "wide", "--unread-mb", "8") as server:
        before = settled(server)
        with grpc.insecure_channel(server.grpc, options=[("grpc.max_receive_message_length", -1)]) as channel:
            answers = channel.stream_stream(STREAM)(requests())
            wait_ended(server, 8, "OK")
            time.sleep(1.0)
            assert ended_with(server)["OK"] <= 32
            assert settled(server).resident_mb - before.resident_mb < 32 + GROWTH_MB
            assert sum(1 for _ in answers) == 200  # and goes on as soon as it is
        assert_no_more(server, before, GROWTH_MB)
        assert_it_adds_up(server)


def test_streams_of_one_connection_that_are_not_read_are_bounded_together(models: Path):
    """Each by itself would be given sixteen answers of 1 MB."""

    def requests() -> Iterator[bytes]:
        for _ in range(20):
            yield infer_request("wide", np.ones((4, 1)))

    with running_server(models / "wide", "--unread-mb", "8") as server:
        ask(server)
        before = settled(server)
        with grpc.insecure_channel(server.grpc, options=[("grpc.max_receive_message_length", -1)]) as channel:
            streams = [channel.stream_stream(STREAM)(requests()) for _ in range(16)]
            wait_ended(server, 9, "OK")
            time.sleep(1.0)
            most = 32 + 6 * len(streams)  # at the beginning; on their way, and one that waits, of each
            assert ended_with(server)["OK"] <= 1 + most
            assert settled(server).resident_mb - before.resident_mb < most + GROWTH_MB
            for answers in streams:
                assert sum(1 for _ in answers) == 20
        assert_it_adds_up(server)


def test_a_client_that_does_not_read_holds_no_stop_up(wide: ServerProcess):
    with RawConnection(wide.grpc) as connection:
        for _ in range(UNREAD_CALLS):
            connection.call(infer_request("wide", np.ones((UNREAD_ROWS, 1))))
        wait_ended(wide, 1 + UNREAD_CALLS, "OK")
        started = time.monotonic()
        assert wide.stop() == 0
        assert time.monotonic() - started < 5


def test_bytes_that_are_no_call_harm_nobody(wide: ServerProcess):
    before = settled(wide)
    noise = random.Random(0)  # noqa: S311 (no secret)
    host, port = wide.grpc.split(":")
    for length in (1, 24, 100, 70_000) * 3:
        with socket.create_connection((host, int(port))) as connection, contextlib.suppress(OSError):
            connection.sendall(noise.randbytes(length))
            ask(wide)
    assert_no_more(wide, before, GROWTH_MB)
    assert ended_with(wide)["OK"] == 13
