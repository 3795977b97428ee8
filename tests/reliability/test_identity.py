"""Rows that carry their senders' names go through an identity model in batches of chance and come back to them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client
from tests.reliability.accounts import assert_it_adds_up
from tests.reliability.lengths import Lengths
from tests.services.server_process import running_server

SENDERS = 8


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flags", [("--batch-window-ms", "5"), ("--instances", "3"), ()], ids=" ".join)
def test_every_row_comes_back_to_its_sender(models: Path, lengths: Lengths, flags: tuple[str, ...]):
    """A row is its sender and a number that the sender never uses again."""
    wanted = lengths.identity_rows // SENDERS

    def send(sender: int) -> int:
        rng = np.random.default_rng(sender)
        sent = 0
        with Client(server.grpc, PROTOCOLS[sender % len(PROTOCOLS)]) as client:
            while sent < wanted:
                rows = min(int(rng.choice([1, 2, 3, 5, 8, 31, 40])), wanted - sent)  # 40 are run in pieces
                x = np.stack([np.full(rows, sender), np.arange(sent, sent + rows)], axis=1)
                np.testing.assert_array_equal(client.predict("rows", {"x": x}, timeout_s=60)["y"], x)
                sent += rows
        return sent

    with running_server(models / "rows", *flags) as server:
        with ThreadPoolExecutor(SENDERS) as pool:
            assert sum(pool.map(send, range(SENDERS))) == SENDERS * wanted
        assert_it_adds_up(server)
        rows, runs = (server.metric(f"kedge_batch_rows_{part}", model="rows") for part in ("sum", "count"))
        requests = sum(value for labels, value in server.samples("kedge_requests_total") if labels["code"] == "OK")
        assert rows == SENDERS * wanted
        if "--batch-window-ms" in flags:
            assert runs < requests  # batches formed
