"""Memory, file descriptors and threads of a server that is asked for long: flat."""

from pathlib import Path

import pytest

from kedge_server.client import Client
from tests.reliability.accounts import assert_it_adds_up
from tests.reliability.crowd import ask_many
from tests.reliability.footprint import assert_no_more, settled
from tests.reliability.lengths import Lengths
from tests.reliability.swapping import INPUTS, NAME, publish_numbered, swap
from tests.services.server_process import ServerProcess, running_server

GROWTH_MB = 8.0
POOL_THREADS = 4
"""Versions are hashed and ended in the event loop's executor, which begins a thread whenever all others are busy."""
WARM = 9
"""The first version after so many that the server has every thread it needs."""


def ask(server: ServerProcess, requests: int) -> None:
    """Ask for so many answers, a thousand at a time, and look at the metrics in between."""
    for asked in range(0, requests, 1000):
        ask_many(server.grpc, "identity", min(1000, requests - asked))
        assert server.get("/metrics").status == 200


@pytest.mark.timeout(900)
@pytest.mark.parametrize("flags", [(), ("--batch-window-ms", "1")], ids=["on the event loop", "in batches"])
def test_requests_leave_nothing_behind(models: Path, lengths: Lengths, flags: tuple[str, ...]):
    with running_server(models / "identity", *flags) as server:
        ask(server, lengths.requests // 4)
        before = settled(server)
        ask(server, lengths.requests * 3 // 4)
        assert_no_more(server, before, GROWTH_MB)
        assert_it_adds_up(server)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("flags", [(), ("--batch-window-ms", "1")], ids=["on the event loop", "in batches"])
def test_versions_that_come_and_go_leave_nothing_behind(tmp_path: Path, lengths: Lengths, flags: tuple[str, ...]):
    publish_numbered(tmp_path, 1)
    with running_server(tmp_path, "--versions", "latest:1", "--allow-admin", "on", "--watch", "off", *flags) as server:
        for version in range(2, WARM):
            swap_and_ask(server, tmp_path, version)
        before = settled(server)
        for version in range(WARM, WARM + lengths.reloads):
            swap_and_ask(server, tmp_path, version)
        assert_no_more(server, before, GROWTH_MB, POOL_THREADS)


def swap_and_ask(server: ServerProcess, repository: Path, version: int) -> None:
    swap(server, repository, version)
    with Client(server.grpc) as client:
        assert client.ask(NAME, INPUTS).version == version
