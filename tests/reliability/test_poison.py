"""One request that the model or the server cannot take, among many in the same batch: it harms its sender only."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, ClientError
from tests.reliability.accounts import assert_it_adds_up, ended_with
from tests.services.server_process import ServerProcess, running_server

GOOD = 24
POISON = 11
"""Where in the crowd the poisoned request stands."""


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ServerProcess]:
    """Everybody who calls within a quarter of a second meets in one batch."""
    flags = ("--instances", "1", "--batch-window-ms", "250", "--max-batch-rows", "256")
    with running_server(models, *flags) as running:
        yield running


def crowd(server: ServerProcess, model: str, good: np.ndarray, poison: np.ndarray) -> tuple[list[object], ClientError]:
    """Answers to single rows of `good`, asked at once with both protocols, and the refusal of `poison` among them."""
    rows = [good[i : i + 1] for i in range(len(good))]
    rows.insert(POISON, poison)

    def ask(number: int) -> object:
        try:
            return clients[number % 2].predict(model, {"x": rows[number]}, timeout_s=30)["y"]
        except ClientError as error:
            return error

    clients = [Client(server.grpc, protocol) for protocol in PROTOCOLS]
    with ThreadPoolExecutor(len(rows)) as pool:
        outcomes = list(pool.map(ask, range(len(rows))))
    for client in clients:
        client.close()
    refused = outcomes.pop(POISON)
    assert isinstance(refused, ClientError)
    assert_it_adds_up(server)
    return outcomes, refused


def test_an_operation_that_fails(server: ServerProcess):
    before = ended_with(server)
    indices = np.arange(GOOD)[:, None] % 10
    answers, refused = crowd(server, "lookup", indices, np.array([[99]]))
    np.testing.assert_array_equal(np.concatenate(answers), indices * 10.0)
    assert refused.code == "INTERNAL"
    assert server.event("run_failed")["incident"] in refused.message
    assert server.event("batch_failed")["jobs"] > 1  # it did share a run
    assert ended_with(server) - before == {"OK": GOOD, "INTERNAL": 1}


@pytest.mark.parametrize(
    ("poison", "said"),
    [
        (np.array([[1, np.nan, 2, 3]], np.float32), "NaN"),
        (np.zeros((1, 5), np.float32), "shape"),
        (np.zeros((1, 4), np.float64), "dtype"),
        (np.zeros((0, 4), np.float32), "rows"),
    ],
    ids=["not a number", "another trailing shape", "another dtype", "no rows"],
)
def test_values_that_break_the_contract(server: ServerProcess, poison: np.ndarray, said: str):
    before = ended_with(server)
    runs = server.metric("kedge_batch_rows_count", model="identity")
    good = np.random.default_rng(0).normal(size=(GOOD, 4)).astype(np.float32)
    answers, refused = crowd(server, "identity", good, poison)
    np.testing.assert_array_equal(np.concatenate(answers), good)
    assert (refused.code, len(refused.violations)) == ("INVALID_ARGUMENT", 1), said
    assert ended_with(server) - before == {"OK": GOOD, "INVALID_ARGUMENT": 1}
    assert server.metric("kedge_batch_rows_count", model="identity") - runs < GOOD  # batches formed


def test_answers_that_are_not_finite(models: Path):
    flags = ("--batch-window-ms", "250", "--nonfinite-outputs", "reject", "--input-stats", "off")
    with running_server(models / "root", *flags) as server:
        good = np.random.default_rng(0).uniform(4, 16, size=(GOOD, 2)).astype(np.float32)
        answers, refused = crowd(server, "root", good, np.array([[-4, 9]], np.float32))
        np.testing.assert_array_equal(np.concatenate(answers), np.sqrt(good))
        assert refused.code == "INTERNAL"
        assert ended_with(server) == {**dict.fromkeys(ended_with(server), 0), "OK": GOOD, "INTERNAL": 1}
