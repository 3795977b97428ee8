"""Clients that go away, or stay and do not take part: the others are served, and nothing of them is left behind."""

import contextlib
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kedge_server.client import Client
from tests.reliability.accounts import assert_it_adds_up, ended_with
from tests.reliability.footprint import assert_no_more, settled
from tests.reliability.raw_call import FIRST_WINDOW, RawConnection
from tests.reliability.requests import infer_request
from tests.services.server_process import ServerProcess, running_server

UNREAD_CALLS, UNREAD_ROWS = 12, 16
"""Answers of 4 MB each."""

GROWTH_MB = 16.0


@pytest.fixture
def wide(models: Path) -> Iterator[ServerProcess]:
    with running_server(models / "wide") as running:
        ask(running)
        yield running


def ask(server: ServerProcess) -> None:
    with Client(server.grpc) as client:
        assert client.predict("wide", {"x": np.ones((1, 1), np.float32)}, timeout_s=20)["y"].shape == (1, 65_536)


def wait_answered(server: ServerProcess, requests: int) -> None:
    end = time.monotonic() + 20
    while ended_with(server)["OK"] < requests:
        assert time.monotonic() < end, f"{ended_with(server)['OK']} of {requests} were answered"
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
            wait_answered(wide, 1 + number * UNREAD_CALLS + 5 * (number - 1))
            for _ in range(5):
                ask(wide)
            resident_mb.append(settled(wide).resident_mb)
    assert resident_mb[-1] - resident_mb[0] < UNREAD_CALLS * UNREAD_ROWS / 4, resident_mb
    assert_it_adds_up(wide)


def test_a_client_that_does_not_read_holds_no_stop_up(wide: ServerProcess):
    with RawConnection(wide.grpc) as connection:
        for _ in range(UNREAD_CALLS):
            connection.call(infer_request("wide", np.ones((UNREAD_ROWS, 1))))
        wait_answered(wide, 1 + UNREAD_CALLS)
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
