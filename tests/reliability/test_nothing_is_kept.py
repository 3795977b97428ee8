"""However a request ends, nothing of it stays: no cycle of objects waits for the collector, which seldom comes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, ClientError, Protocol
from kedge_server.pb.open_inference_pb2 import ModelStreamInferResponse
from tests.reliability.live_objects import LiveObjects, counting_command
from tests.reliability.raw_call import STREAM
from tests.reliability.requests import infer_request
from tests.services.server_process import ServerProcess, running_server

AT_ONCE = 8

GOOD = np.ones((2, 4), np.float32)
ENDINGS = {
    "answered": ("identity", GOOD, "OK"),
    "answered in parts": ("identity", np.ones((64, 4), np.float32), "OK"),
    "answered with megabytes": ("wide", np.ones((16, 1), np.float32), "OK"),
    "a model that fails": ("lookup", np.array([[99]]), "INTERNAL"),
    "a model that fails for one part": ("lookup", np.array([[1]] * 40 + [[99]] + [[2]] * 40), "INTERNAL"),
    "not a number": ("identity", np.full((2, 4), np.nan, np.float32), "INVALID_ARGUMENT"),
    "another shape": ("identity", np.ones((2, 5), np.float32), "INVALID_ARGUMENT"),
    "an unknown model": ("stranger", GOOD, "NOT_FOUND"),
    "more rows than ever wait": ("any", np.ones((3000, 4), np.float32), "INVALID_ARGUMENT"),
    "too large an answer": ("wide", np.ones((40, 1), np.float32), "RESOURCE_EXHAUSTED"),
}
"""Model, input, code."""


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    limits = ("--instances", "1", "--max-batch-rows", "8", "--queue-rows", "2000", "--max-message-mb", "8")
    command = counting_command(tmp_path_factory.mktemp("bin"))
    with running_server(models, *limits, "--watch", "off", command=command) as running:
        yield running


@pytest.fixture(scope="module")
def live(server: ServerProcess) -> LiveObjects:
    def ask() -> None:
        with Client(server.grpc) as client:
            client.predict("identity", {"x": GOOD})

    return LiveObjects(server, ask)


def outcome(client: Client, model: str, x: np.ndarray) -> str:
    try:
        client.predict(model, {"x": x}, timeout_s=30)
    except ClientError as error:
        return error.code
    return "OK"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_of_a_call(server: ServerProcess, live: LiveObjects, ending: str, protocol: Protocol):
    model, x, code = ENDINGS[ending]
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        clients = [stack.enter_context(Client(server.grpc, protocol)) for _ in range(AT_ONCE)]
        assert set(pool.map(lambda client: outcome(client, model, x), clients)) == {code}
    live.assert_back_at_rest()


@pytest.mark.parametrize("order", ["sent", "any"])
@pytest.mark.parametrize("ending", [name for name, (model, _, _) in ENDINGS.items() if model != "lookup"])
def test_of_a_stream(server: ServerProcess, live: LiveObjects, ending: str, order: str):
    model, x, code = ENDINGS[ending]
    with grpc.insecure_channel(server.grpc, [("grpc.max_receive_message_length", -1)]) as channel:
        stream = channel.stream_stream(STREAM, response_deserializer=ModelStreamInferResponse.FromString)
        requests = [infer_request(model, x)] * AT_ONCE
        answers = list(stream(iter(requests), timeout=30, metadata=[("kedge-order", order)]))
    assert [bool(answer.error_message) for answer in answers] == [code != "OK"] * AT_ONCE
    live.assert_back_at_rest()
