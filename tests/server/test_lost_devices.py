"""A GPU that dies while it serves: nothing on it is ready again, no caller is blamed, and the rest goes on.

The GPU is `tests/services/gpu_stand_in.py`; the servers, their ports and their callers are real.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from kedge_bundle import cli
from kedge_bundle.errors import DeviceLost
from kedge_bundle.signature import Tensors
from kedge_server.client import PROTOCOLS, Client, ClientError, Protocol
from kedge_server.errors import ModelFailed, NotReady
from kedge_server.job_queue import QueueLimits
from kedge_server.jobs import Job
from kedge_server.scheduler import Run, Scheduler
from tests.server.in_process import prepared
from tests.services.bundles import TinyModel, identity, publish, two_output
from tests.services.gpu_stand_in import DEADLY, OUT_OF_MEMORY, GpuStandIn, serve_model_with_gpu
from tests.services.server_process import ServerProcess, running_server, started_server

TIMEOUT_S = 20.0
SEEN = {"CUDA_VISIBLE_DEVICES": "0"}
UNPROVEN = ("--unproven-options", "warn")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    publish(two_output(), tmp_path / "models", "two")
    publish(identity(), tmp_path / "models", "echo")
    return tmp_path / "models"


@contextlib.contextmanager
def server_with_gpu(repository: Path, *flags: str) -> Iterator[ServerProcess]:
    with running_server(repository, *flags, command=serve_model_with_gpu(repository.parent), env=SEEN) as server:
        yield server


def two(value: float) -> dict[str, np.ndarray]:
    return {name: np.full((1, 3), value, np.float32) for name in "ab"}


def echo(value: float) -> dict[str, np.ndarray]:
    return {"x": np.full((1, 4), value, np.float32)}


def refusal(server: ServerProcess, model: str, inputs: Any, protocol: Protocol = "open-inference") -> ClientError:  # noqa: ANN401
    with Client(server.grpc, protocol) as client, pytest.raises(ClientError) as caught:
        client.predict(model, inputs, timeout_s=TIMEOUT_S)
    return caught.value


def health(server: ServerProcess, service: str) -> str:
    with grpc.insecure_channel(server.grpc) as channel:
        status = HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=TIMEOUT_S).status
    return HealthCheckResponse.ServingStatus.Name(status)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_model_on_a_lost_device_is_not_ready_for_good_and_the_process_lives(repository: Path, protocol: Protocol):
    with server_with_gpu(repository, "--device", "gpu", *UNPROVEN) as server:
        with Client(server.grpc, protocol) as client:
            assert client.predict("two", two(1.0), timeout_s=TIMEOUT_S)["total"].tolist() == [[4.0] * 3]
        failed = refusal(server, "two", two(DEADLY), protocol)
        assert failed.code == "INTERNAL"
        assert "incident" in str(failed)
        assert "CUDA" not in str(failed), "what the runtime says is for the log"
        for model, inputs in (("two", two(1.0)), ("echo", echo(1.0))):
            assert refusal(server, model, inputs, protocol).code == "UNAVAILABLE"
            assert server.metric("kedge_model_ready", model=model, version=1) == 0
        assert {health(server, name) for name in ("", "two", "two/1", "echo")} == {"NOT_SERVING"}
        page = server.get("/readyz")
        assert page.status == 503
        reasons = page.json()["reasons"]
        for model in ("two", "echo"):
            assert any(
                f"model '{model}' version 1: failed: the device cuda:0 is lost until this process is started again"
                in reason
                and "CUDA failure 700: an illegal memory access was encountered" in reason
                for reason in reasons
            )
        assert server.get("/healthz").status == 200
        lost = [event for event in server.log() if event.get("event") == "device_lost"]
        assert [(event["level"], event["device"], event["models"]) for event in lost] == [
            ("error", "cuda:0", ["echo/1", "two/1"])
        ]
        assert server.stop() == 0


def test_with_exit_the_server_drains_and_ends_with_a_code_of_its_own(repository: Path):
    with server_with_gpu(repository, "--device", "gpu", *UNPROVEN, "--on-device-error", "exit") as server:
        assert refusal(server, "two", two(DEADLY)).code == "INTERNAL"
        assert server.wait() == 6
        events = [event.get("event") for event in server.log()]
        assert events.index("device_lost") < events.index("draining") < events.index("stopped")


def test_a_signal_does_not_hide_that_the_device_was_lost(repository: Path):
    flags = ("--device", "gpu", *UNPROVEN, "--on-device-error", "exit", "--drain-timeout-s", "5")
    with server_with_gpu(repository, *flags) as server:
        assert refusal(server, "two", two(DEADLY)).code == "INTERNAL"
        server.send(signal.SIGTERM)
        assert server.wait() == 6


def test_a_model_on_the_cpu_goes_on(repository: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        GpuStandIn().install(patch.setattr)
        assert cli.main([str(repository / "two" / "1"), "--device", "gpu", "--attest"]) == 0
    with server_with_gpu(repository, "--device", "auto") as server:  # echo is not attested, so it runs on the CPU
        assert refusal(server, "two", two(DEADLY)).code == "INTERNAL"
        assert refusal(server, "two", two(1.0)).code == "UNAVAILABLE"
        with Client(server.grpc) as client:
            assert client.predict("echo", echo(DEADLY), timeout_s=TIMEOUT_S)["y"].tolist() == [[DEADLY] * 4]
        assert (health(server, "echo"), health(server, "two")) == ("SERVING", "NOT_SERVING")
        assert server.get("/readyz").status == 503


def test_too_little_memory_is_no_lost_device(repository: Path):
    with server_with_gpu(repository, "--device", "gpu", *UNPROVEN, "--on-device-error", "exit") as server:
        assert refusal(server, "two", two(OUT_OF_MEMORY)).code == "INTERNAL"
        with Client(server.grpc) as client:
            assert client.predict("two", two(1.0), timeout_s=TIMEOUT_S)["total"].tolist() == [[4.0] * 3]
        assert server.get("/readyz").status == 200


def test_a_model_that_loses_the_device_while_it_loads_takes_the_others_with_it(repository: Path):
    publish(deadly(), repository, "zeta")
    flags = ("--device", "gpu", *UNPROVEN, "--on-device-error", "exit")
    with started_server(repository, *flags, command=serve_model_with_gpu(repository.parent), env=SEEN) as server:
        assert server.wait() == 6
        assert "CUDA failure 700" in server.event("model_failed")["error"]


def test_verify_model_does_not_take_a_lost_device_for_a_wrong_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    bundle = publish(deadly(), tmp_path, "zeta")
    GpuStandIn().install(monkeypatch.setattr)
    assert cli.main([str(bundle.directory), "--device", "gpu", "--attest"]) == 4
    assert "CUDA failure 700" in capsys.readouterr().out
    assert list(tmp_path.rglob("*attestation*")) == []


def deadly() -> TinyModel:
    """Its golden inputs are what the GPU dies of."""
    return replace(identity(), golden_inputs={"x": np.full((2, 4), DEADLY, np.float32)})


class Dying:
    """What a runtime does instead: its first run waits for `may_fail`, and finds its device lost."""

    def __init__(self) -> None:
        self.has_begun, self.may_fail = threading.Event(), threading.Event()
        self.runs = 0
        self.is_closed = False

    def run(self, _: Tensors) -> Tensors:
        self.runs += 1
        self.has_begun.set()
        assert self.may_fail.wait(TIMEOUT_S)
        raise DeviceLost("onnx: CUDA failure 719: unspecified launch failure", "cuda:0")

    def close(self) -> None:
        self.is_closed = True


def test_what_ran_has_failed_and_what_waited_may_go_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (runtime,) = prepared(publish(identity(), tmp_path, "echo"), instances=1).runtimes
    dying = Dying()
    monkeypatch.setattr(runtime, "run", dying.run)
    monkeypatch.setattr(runtime, "close", dying.close)
    runs: list[Run] = []

    async def story() -> list[Any]:
        scheduler = Scheduler("echo/1", [runtime], QueueLimits(100, 4, window_s=0.2), runs.append)

        async def ask() -> Any:  # noqa: ANN401
            job: Job[Any] = Job(echo(1.0), 1, lambda outputs: outputs, asyncio.get_running_loop().create_future())
            return await scheduler.run(job)

        waiting = [asyncio.ensure_future(ask()) for _ in range(6)]
        await asyncio.to_thread(dying.has_begun.wait, TIMEOUT_S)
        dying.may_fail.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        outcomes += await asyncio.gather(ask(), return_exceptions=True)
        await scheduler.close(TIMEOUT_S)
        return outcomes

    outcomes = asyncio.run(story())
    assert [type(outcome) for outcome in outcomes] == [ModelFailed] * 4 + [NotReady] * 3
    assert dying.runs == 1, "no job of the batch is run again alone: the device is lost for all of them"
    assert [(run.rows, run.is_ok, "CUDA failure 719" in run.device_error) for run in runs] == [(4, False, True)]
    assert not dying.is_closed, "what lies on a dead device cannot be freed"
