"""Callers of every kind against a real server: what each of them gets, and that the metrics add up afterwards."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, ClientError, Protocol
from kedge_server.pb import open_inference_pb2 as oip
from tests.server.callers import Callers
from tests.server.in_process import lookup
from tests.services.bundles import doubled, identity, publish, slow_matmul, square_root
from tests.services.server_process import ServerProcess, running_server

MODELS = {"identity", "lookup", "root", "slow"}
BUSY = {"x": np.zeros((30, 1024), np.float32)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("models")
    for name, model in {
        "identity": identity(),
        "lookup": lookup(),
        "root": square_root(),
        "slow": slow_matmul(repeats=72),
    }.items():
        publish(model, repository, name)
    return repository


@pytest.fixture
def server(models: Path) -> Iterator[ServerProcess]:
    with running_server(models, "--instances", "1", "--queue-rows", "64") as running:
        yield running


def refusal(client: Client, model: str, x: object, timeout_s: float | None = 30) -> ClientError:
    with pytest.raises(ClientError) as caught:
        client.predict(model, {"x": x}, timeout_s=timeout_s)  # type: ignore[dict-item]
    return caught.value


def assert_it_adds_up(server: ServerProcess) -> None:
    """Every request that came in has ended in exactly one way, and nothing is left behind."""
    end = time.monotonic() + 20
    while server.metric("kedge_inflight_requests") and time.monotonic() < end:
        time.sleep(0.05)
    assert server.metric("kedge_inflight_requests") == 0
    started = sum(value for _, value in server.samples("kedge_requests_started_total"))
    ended = sum(value for _, value in server.samples("kedge_requests_total"))
    timed = sum(value for _, value in server.samples("kedge_request_duration_seconds_count"))
    assert started == ended == timed > 0
    assert {value for _, value in server.samples("kedge_queue_rows")} == {0}
    labels = {labels["model"] for labels, _ in server.samples("kedge_requests_total")}
    assert labels <= MODELS | {""}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_failure_has_its_code_and_is_counted_with_it(server: ServerProcess, protocol: Protocol):
    with Client(server.grpc, protocol) as client:
        good = np.ones((2, 4), np.float32)
        expected = {
            "NOT_FOUND": refusal(client, "stranger", good),
            "INVALID_ARGUMENT": refusal(client, "identity", np.full((2, 4), np.nan, np.float32)),
            "INTERNAL": refusal(client, "lookup", np.array([[99]])),
            "DEADLINE_EXCEEDED": refusal(client, "slow", BUSY["x"], timeout_s=0.01),
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


def test_a_full_queue_is_told_with_when_to_come_back(server: ServerProcess):
    def ask(_: int) -> ClientError | None:
        with Client(server.grpc) as client:
            try:
                client.predict("slow", BUSY, timeout_s=60)
            except ClientError as error:
                return error
            return None

    with ThreadPoolExecutor(12) as pool:
        errors = [error for error in pool.map(ask, range(12)) if error]
    assert 0 < len(errors) < 12
    assert {error.code for error in errors} == {"RESOURCE_EXHAUSTED"}
    assert all(error.retry_after_s and 0.01 <= error.retry_after_s <= 30 for error in errors)
    assert_it_adds_up(server)
    assert server.metric("kedge_rejections_total", model="slow", reason="queue_full") == len(errors)


def test_a_deadline_is_kept_while_the_model_is_busy_with_others(server: ServerProcess):
    with Callers(server.grpc, "slow", threads=2, inputs=BUSY) as busy, Client(server.grpc) as client:
        busy.wait_for(answers=2)
        started = time.monotonic()
        assert refusal(client, "slow", BUSY["x"][:1], timeout_s=0.002).code == "DEADLINE_EXCEEDED"
        assert time.monotonic() - started < 1.0
    assert_it_adds_up(server)


KILLED_CALLER = """
import sys
import numpy as np
from kedge_server.client import Client
print("calling", flush=True)
while True:
    Client(sys.argv[1]).predict("slow", {"x": np.zeros((30, 1024), np.float32)})
"""


def test_callers_that_are_killed_leave_nothing_behind(server: ServerProcess):
    killed = [
        subprocess.Popen([sys.executable, "-c", KILLED_CALLER, server.grpc], stdout=subprocess.PIPE) for _ in range(3)
    ]
    server.wait_in_flight(2)
    for process in killed:
        process.kill()
        process.communicate()
    assert_it_adds_up(server)
    assert sum(value for labels, value in server.samples("kedge_requests_total") if labels["code"] == "CANCELLED") > 0
    with Client(server.grpc) as client:
        assert client.predict("slow", BUSY)["y"].shape == (30, 1024)


def test_everybody_gets_what_is_theirs_when_all_kinds_of_callers_meet(server: ServerProcess):
    rng = np.random.default_rng(0)
    calls = rng.integers(0, 6, 1500)

    def ask(number: int) -> str:
        client = clients[number % len(clients)]
        kind = calls[number]
        try:
            if kind in {0, 1}:
                x = np.full((1 + number % 5, 4), number, np.float32)
                return "right" if np.array_equal(client.predict("identity", {"x": x})["y"], x) else "wrong"
            if kind == 2:
                index = number % 10
                return "right" if client.predict("lookup", {"x": [[index]]})["y"].item() == index * 10 else "wrong"
            if kind == 3:
                client.predict("lookup", {"x": [[1000 + number]]})
            elif kind == 4:
                client.predict(f"stranger-{number}", {"x": [[1.0]]})
            else:
                client.predict("identity", {"x": np.zeros((1, 5), np.float32)})
        except ClientError as error:
            return error.code
        return "answered"

    clients = [Client(server.grpc, protocol) for protocol in PROTOCOLS]
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(ask, range(len(calls))))
    for client in clients:
        client.close()
    expected = {0: "right", 1: "right", 2: "right", 3: "INTERNAL", 4: "NOT_FOUND", 5: "INVALID_ARGUMENT"}
    assert outcomes == [expected[int(kind)] for kind in calls]
    assert_it_adds_up(server)
    assert "stranger" not in server.get("/metrics").body


def test_inputs_unlike_training_are_told_to_the_caller_and_counted(server: ServerProcess):
    with Client(server.grpc) as client:
        answer = client.ask("root", {"x": np.array([[10, 900]], np.float32)})
    assert {(strayed.feature, strayed.kind) for strayed in answer.warnings} == {(1, "above-range"), (1, "z-score")}
    assert server.metric("kedge_input_stat_violations_total", model="root", input="x", kind="z-score") == 1


def test_nan_rates_can_be_read_from_the_page(server: ServerProcess):
    with Client(server.grpc) as client:
        client.predict("root", {"x": np.array([[-10, 9], [10, 9]], np.float32)})
    assert server.metric("kedge_output_nonfinite_values_total", model="root", output="y", kind="nan") == 1
    assert server.metric("kedge_output_values_total", model="root", output="y") == 4


def test_the_policies_can_be_strict(models: Path):
    flags = ("--input-stats", "reject", "--nonfinite-outputs", "reject", "--nonfinite-inputs", "observe")
    with running_server(models / "root", *flags) as server, Client(server.grpc) as client:
        refused = refusal(client, "root", np.array([[10, 900]], np.float32))
        assert refused.code == "INVALID_ARGUMENT"
        assert "training saw 4 to 16" in refused.message
        assert refusal(client, "root", np.array([[np.nan, 9]], np.float32)).code == "INTERNAL"
    with (
        running_server(models / "root", "--input-stats", "off") as server,
        Client(server.grpc) as client,
    ):
        assert client.ask("root", {"x": np.array([[10, 900]], np.float32)}).warnings == ()


def test_a_message_larger_than_allowed_is_refused_by_grpc(models: Path):
    with running_server(models / "identity", "--max-message-mb", "1") as server, Client(server.grpc) as client:
        refused = refusal(client, "identity", np.zeros((100_000, 4), np.float32))
        assert refused.code == "RESOURCE_EXHAUSTED"
        assert client.predict("identity", {"x": np.zeros((1000, 4), np.float32)})["y"].shape == (1000, 4)


@pytest.mark.parametrize("protocol", ["tensorflow-serving", "open-inference"])
def test_an_answer_larger_than_allowed_is_refused_in_our_words_and_counted(tmp_path: Path, protocol: str):
    publish(doubled(), tmp_path, "doubled")
    flags = ("--max-message-mb", "1", "--queue-rows", "100000")
    with running_server(tmp_path, *flags) as server, Client(server.grpc, protocol=protocol) as client:
        refused = refusal(client, "doubled", np.zeros((40_000, 4), np.float32))
        assert refused.code == "RESOURCE_EXHAUSTED"
        assert "this server sends 1048576 at most (--max-message-mb)" in refused.message
        labels = {"model": "doubled", "version": 1}
        assert server.metric("kedge_rejections_total", **labels, reason="answer_too_large") == 1
        assert server.metric("kedge_requests_total", **labels, protocol=protocol, code="OK") == 0
        assert client.predict("doubled", {"x": np.zeros((20_000, 4), np.float32)})["y"].shape == (20_000, 8)


def test_rows_come_back_to_their_senders_where_batches_form(models: Path):
    with (
        running_server(models / "identity", "--batch-window-ms", "2") as server,
        Callers(server.grpc, "identity", threads=8) as callers,
    ):
        callers.wait_for(answers=1000)
        callers.stop()
        assert (callers.wrong, callers.errors) == ([], {})
        assert_it_adds_up(server)
        rows, runs = (server.metric(f"kedge_batch_rows_{part}", model="identity") for part in ("sum", "count"))
        requests = server.metric("kedge_requests_total", model="identity", code="OK", protocol="open-inference")
        assert requests == callers.answers
        assert runs < requests < rows


def test_thousands_of_calls_at_once_are_all_answered(models: Path):
    """Beyond a thousand that wait to be looked at, gRPC by itself cancels some, which then read CANCELLED."""
    request = oip.ModelInferRequest(model_name="identity", raw_input_contents=[bytes(16)])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    data = request.SerializeToString()

    async def calls(address: str) -> Counter[str]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with contextlib.AsyncExitStack() as stack:
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options)) for _ in range(8)
            ]
            waiting = [
                channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(data, timeout=60)
                for channel in channels
                for _ in range(400)
            ]
            return Counter([(await call.code()).name for call in waiting])

    with running_server(models / "identity") as server:
        assert asyncio.run(calls(server.grpc)) == {"OK": 3200}
        assert server.metric("kedge_requests_total", model="identity", code="OK", protocol="open-inference") == 3200
