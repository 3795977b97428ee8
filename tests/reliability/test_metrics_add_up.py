"""The metrics against what callers saw: started is answered and failed and cancelled, each with its code."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, ClientError, Protocol
from tests.reliability.accounts import assert_it_adds_up, ended_with
from tests.reliability.lengths import Lengths
from tests.reliability.raw_call import INFER
from tests.reliability.requests import infer_request
from tests.server.test_traffic import refusal
from tests.services.server_process import ServerProcess, running_server

BUSY = np.zeros((5000, 1024), np.float32)
"""`slow` takes seconds for them."""


@pytest.fixture
def server(models: Path) -> Iterator[ServerProcess]:
    with running_server(models, "--instances", "1", "--queue-rows", "5000") as running:
        yield running


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_failure_has_its_code_and_is_counted_with_it(server: ServerProcess, protocol: Protocol):
    with Client(server.grpc, protocol) as client:
        good = np.ones((2, 4), np.float32)
        expected = {
            "NOT_FOUND": refusal(client, "stranger", good),
            "INVALID_ARGUMENT": refusal(client, "identity", np.full((2, 4), np.nan, np.float32)),
            "INTERNAL": refusal(client, "lookup", np.array([[99]])),
            "DEADLINE_EXCEEDED": refusal(client, "slow", BUSY, timeout_s=1),
        }
        assert {code: error.code for code, error in expected.items()} == {code: code for code in expected}
        assert "[0, 0]" in expected["INVALID_ARGUMENT"].violations[0].description
        assert "incident" in expected["INTERNAL"].message
    assert_it_adds_up(server)
    counted = {
        labels["code"] for labels, value in server.samples("kedge_requests_total") if value and labels["model"] != ""
    }
    assert counted == {"INVALID_ARGUMENT", "INTERNAL", "DEADLINE_EXCEEDED"}
    assert server.metric("kedge_requests_total", model="", protocol=protocol, code="NOT_FOUND") == 1
    incident = server.event("run_failed")["incident"]
    assert incident in expected["INTERNAL"].message


@pytest.mark.timeout(600)
def test_every_caller_gets_what_is_theirs_and_the_metrics_say_the_same(server: ServerProcess, lengths: Lengths):
    rng = np.random.default_rng(0)
    kinds = rng.choice(["identity", "lookup", "fails", "stranger", "wrong shape"], lengths.mixed, p=[0.4, 0.2, 0.1, 0.1, 0.2])  # fmt: skip  # noqa: E501
    expected = {"identity": "OK", "lookup": "OK", "fails": "INTERNAL", "stranger": "NOT_FOUND"}

    def ask(number: int) -> str:
        client = clients[number % len(clients)]
        x = np.full((1 + number % 5, 4), number, np.float32)
        index = number % 10
        try:
            match kinds[number]:
                case "identity":
                    return "OK" if np.array_equal(client.predict("identity", {"x": x})["y"], x) else "wrong"
                case "lookup":
                    return "OK" if client.predict("lookup", {"x": [[index]]})["y"].item() == index * 10 else "wrong"
                case "fails":
                    client.predict("lookup", {"x": [[1000 + number]]})
                case "stranger":
                    client.predict(f"stranger-{number}", {"x": x})
                case _:
                    client.predict("identity", {"x": np.zeros((1, 5), np.float32)})
        except ClientError as error:
            return error.code
        return "answered"

    clients = [Client(server.grpc, protocol) for protocol in PROTOCOLS]
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(ask, range(lengths.mixed)))
    for client in clients:
        client.close()
    assert outcomes == [expected.get(kind, "INVALID_ARGUMENT") for kind in kinds]
    assert_it_adds_up(server)
    assert +ended_with(server) == Counter(outcomes)
    assert "stranger" not in server.get("/metrics").body


def test_calls_that_end_early_are_counted_once_however_they_end(server: ServerProcess, lengths: Lengths):
    """A caller that gives up may read CANCELLED where the server had answered, never the reverse."""
    rng = np.random.default_rng(1)
    options = [("grpc.max_receive_message_length", -1)]
    seen: Counter[str] = Counter()
    with grpc.insecure_channel(server.grpc, options) as channel:
        request = infer_request("slow", BUSY[:60])
        for _ in range(lengths.cancellations):
            calls = [channel.unary_unary(INFER).future(request, timeout=rng.choice([0.02, 0.2, 30])) for _ in range(4)]
            time.sleep(rng.uniform(0, 0.05))
            calls[0].cancel()
            seen.update(call.code().name for call in calls)
    assert_it_adds_up(server)
    counted = ended_with(server)
    assert (+counted).keys() <= {"OK", "CANCELLED", "DEADLINE_EXCEEDED"}
    assert min(seen["OK"], seen["CANCELLED"], seen["DEADLINE_EXCEEDED"]) > 0
    assert seen["OK"] <= counted["OK"]
