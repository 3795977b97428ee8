"""The server as its users start it: a process, its ports, its signals, its exit codes."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from kedge_bundle.manifest import read_manifest, write_manifest
from kedge_bundle.store import describe_file
from kedge_server.client import Client, ClientError
from tests.server.in_process import tampered
from tests.services.bundles import identity, publish, slow_matmul, two_output
from tests.services.server_process import COMMAND, ServerProcess, clean_environment, running_server, started_server

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
SLOW_LOAD = ("--max-batch-rows", "4096", "--queue-rows", "4096")
"""The warm-up of `slow` takes seconds with these."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("models")
    publish(identity(), repository, "identity")
    publish(two_output(scale=2), repository, "two")
    publish(two_output(scale=3), repository, "two")
    publish(slow_matmul(), repository, "slow")
    return repository


@pytest.fixture
def own_models(models: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(models, tmp_path / "models")


def health(server: ServerProcess, service: str = "") -> int:
    with grpc.insecure_channel(server.grpc) as channel:
        status: int = HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=10).status
        return status


def failure(repository: Path, *flags: str) -> tuple[int, str]:
    """The exit code and the sentence of a server that cannot start."""
    with started_server(repository, *flags) as server:
        event = server.event("cannot_serve")
        code = server.wait()
        assert event["exit_code"] == code
        assert "Traceback" not in "\n".join(server.lines)
        return code, event["error"]


def ones(rows: int = 1) -> dict[str, np.ndarray]:
    return {name: np.ones((rows, 3), np.float32) for name in "ab"}


SLOW_ROWS = {"x": np.zeros((300, 1024), np.float32)}


def turns(server: ServerProcess) -> list[tuple[str, int, int]]:
    """The command name, scheduling policy and niceness of each of its threads; the first is the event loop's."""
    found = []
    for task in sorted(Path(f"/proc/{server.process.pid}/task").iterdir(), key=lambda task: int(task.name)):
        thread = int(task.name)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            name = (task / "comm").read_text("ascii").strip()
            found.append((name, os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread)))
    return found


@pytest.mark.parametrize(("flags", "behind"), [((), 5), (("--compute-nice", "12"), 12), (("--compute-nice", "0"), 0)])
def test_threads_that_answer_get_a_core_before_those_that_compute(tmp_path: Path, flags: tuple[str, ...], behind: int):
    publish(slow_matmul(), tmp_path, "slow")
    with running_server(tmp_path, "--instances", "3", "--threads", "1", *flags) as server:
        loop, *others = turns(server)
        assert loop[1] == os.SCHED_OTHER
        wanted = Counter({loop[2] + behind: 3}) if behind else Counter()
        end = time.monotonic() + 10
        while Counter(nice for _, _, nice in others if nice != loop[2]) != wanted:  # threads that load are ending
            assert time.monotonic() < end, others
            time.sleep(0.05)
            others = turns(server)[1:]
        assert {turn[1:] for turn in others if turn[0] == "event_engine"} == {(os.SCHED_BATCH, loop[2])}


def test_it_starts_says_what_it_loaded_answers_and_stops_with_0(models: Path):
    with running_server(models) as server:
        with Client(server.grpc) as client:
            np.testing.assert_array_equal(client.predict("two", ones())["total"], np.full((1, 3), 6, np.float32))
            answer = client.ask("two", ones(), version=1)
            np.testing.assert_array_equal(answer.outputs["total"], np.full((1, 3), 4, np.float32))
        assert server.metric("kedge_requests_total", model="two", version=2, code="OK", protocol="open-inference") == 1
        assert health(server) == health(server, "two") == health(server, "two/1") == SERVING
        assert server.stop() == 0
        # Other tests beside this one are processes that had the cores.
        events = [event["event"] for event in server.log() if event["event"] != "tuned_on_a_busy_machine"]
    assert events[:2] == ["starting", "serving"]
    assert sorted(events[2:10]) == ["model_loaded"] * 4 + ["tuned"] * 4
    assert events[10:] == ["ready", "stopping", "draining", "stopped"]
    loaded = {(event["model"], event["version"]): event for event in server.log() if event["event"] == "model_loaded"}
    assert set(loaded) == {("identity", 1), ("two", 1), ("two", 2), ("slow", 1)}
    event = loaded["two", 2]
    assert (event["format"], event["device"], event["self_test"]) == ("onnx", "cpu", "bit-exact")
    assert event["seconds"] > 0


def test_every_number_at_its_largest_is_taken(models: Path):
    most = (
        "--queue-rows",
        str(2**31 - 1),
        "--queue-mb",
        str(2**20),
        "--max-message-mb",
        "2047",
        "--unread-mb",
        str(2**20),
    )
    with running_server(models / "two" / "1", *most) as server:
        assert server.stop() == 0


def test_one_bundle_can_be_served(models: Path):
    with running_server(models / "two" / "1") as server:
        assert [model["version"] for model in server.get("/readyz").json()["models"]] == [1]


def test_the_environment_sets_what_no_flag_does(models: Path):
    env = {"KEDGE_INSTANCES": "3", "KEDGE_REFLECTION": "off"}
    with running_server(models / "two", env=env) as server:
        assert {server.event("model_loaded")["instances"]} == {3}


@pytest.mark.parametrize("kind", ["missing", "empty", "a file"])
def test_a_repository_that_holds_nothing_ends_with_3(tmp_path: Path, kind: str):
    repository = tmp_path / "models"
    if kind == "empty":
        repository.mkdir()
    elif kind == "a file":
        repository.write_text("x")
    code, sentence = failure(repository)
    assert code == 3
    assert str(repository) in sentence
    assert "expected" in sentence


NO_PRIVILEGE = "-dac_override,-dac_read_search"
"""What lets root read everything."""


def as_anybody() -> list[str]:
    """What to put before a command so that permissions apply to it."""
    return ["setpriv", "--inh-caps", NO_PRIVILEGE, "--bounding-set", NO_PRIVILEGE] if os.geteuid() == 0 else []


@pytest.mark.parametrize("place", [".", "identity/1"])
def test_a_directory_that_may_not_be_read_ends_with_3(own_models: Path, place: str):
    directory = own_models / place
    directory.chmod(0)
    command = [*as_anybody(), str(COMMAND), str(directory), "--grpc-address", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=clean_environment())
    directory.chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert f"{directory}/manifest.json: cannot be read: Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_repository_in_a_directory_that_may_not_be_entered_ends_with_3(own_models: Path):
    own_models.parent.chmod(0)
    command = [*as_anybody(), str(COMMAND), str(own_models), "--grpc-address", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=clean_environment())
    own_models.parent.chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert f"{own_models}: cannot be read: Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_may_not_be_looked_at_is_named_where_it_may_be_a_model_and_the_others_serve(
    own_models: Path, tmp_path: Path
):
    closed = tmp_path / "closed"
    (closed / "linked").mkdir(parents=True)
    (own_models / "linked").symlink_to(closed / "linked")
    (own_models / "lost+found").mkdir(mode=0)
    closed.chmod(0)
    command = tmp_path / "serve-model"
    command.write_text(f'#!/bin/sh\nexec {" ".join(as_anybody())} {COMMAND} "$@"\n')
    command.chmod(0o755)
    try:
        with running_server(own_models, "--required-models", "two", command=command) as server:
            failed = {event["model"] for event in server.log() if event["event"] == "model_failed"}
            assert failed == {"linked"}
            with Client(server.grpc) as client:
                assert client.predict("two", {"a": np.ones((1, 3), np.float32), "b": np.ones((1, 3), np.float32)})
    finally:
        closed.chmod(0o755)


def test_a_model_directory_that_may_not_be_listed_is_named_and_the_others_serve(own_models: Path, tmp_path: Path):
    (own_models / "two").chmod(0)
    command = tmp_path / "serve-model"
    command.write_text(f'#!/bin/sh\nexec {" ".join(as_anybody())} {COMMAND} "$@"\n')
    command.chmod(0o755)
    with running_server(own_models, wait_ready=False, command=command) as server:
        reasons = server.event("not_ready")["reasons"]
        states = {model["name"]: model["state"] for model in server.get("/readyz").json()["models"]}
    (own_models / "two").chmod(0o755)
    assert len(reasons) == 1
    assert "model 'two'" in reasons[0]
    assert "cannot be read: Permission denied" in reasons[0]
    assert states["two"] == "failed"
    assert states["identity"] == "ready"


def test_a_changed_weight_is_refused_at_start(own_models: Path):
    tampered(own_models / "identity" / "1")
    code, sentence = failure(own_models / "identity")
    assert code == 3
    assert "'model.onnx' is not the file that was proven" in sentence


def test_a_changed_weight_with_its_hash_mended_is_refused_at_start(own_models: Path):
    directory = own_models / "two" / "1"
    shutil.copy(own_models / "two" / "2" / "model.onnx", directory / "model.onnx")
    manifest = read_manifest(directory)
    (artifact,) = manifest.artifacts
    mended = artifact.model_copy(update={"files": (describe_file(directory, directory / "model.onnx"),)})
    write_manifest(directory, manifest.model_copy(update={"artifacts": (mended,)}))
    code, sentence = failure(directory)
    assert code == 3
    assert "does not answer as Keras did: case 'case0', output 'total'" in sentence


def test_a_broken_bundle_beside_good_ones_is_named_and_the_good_ones_serve(own_models: Path):
    tampered(own_models / "two" / "2")
    (own_models / "slow" / "1" / "manifest.json").write_text("{}")
    with running_server(own_models, wait_ready=False) as server:
        reasons = server.event("not_ready")["reasons"]
        assert len(reasons) == 2
        reply = server.get("/readyz")
        assert (reply.status, reply.json()["reasons"]) == (503, reasons)
        assert "model 'slow' version 1: failed" in reasons[0]
        assert "model 'two' version 2: failed" in reasons[1]
        assert "is not the file that was proven" in reasons[1]
        assert health(server) == NOT_SERVING
        assert health(server, "identity") == health(server, "two") == SERVING
        assert health(server, "slow") == NOT_SERVING
        assert server.metric("kedge_model_ready", model="two", version=2) == 0
        assert server.metric("kedge_model_ready", model="two", version=1) == 1
        with Client(server.grpc) as client:
            assert client.ask("two", ones()).version == 1
            with pytest.raises(ClientError, match="not ready") as caught:
                client.predict("slow", SLOW_ROWS)
            assert caught.value.code == "UNAVAILABLE"
            assert str(own_models) not in str(caught.value)
        assert server.stop() == 0


def test_a_broken_bundle_that_is_not_required_does_not_matter(own_models: Path):
    tampered(own_models / "slow" / "1")
    with running_server(own_models, "--required-models", "identity,two") as server:
        assert server.event("model_failed")["model"] == "slow"
        assert server.get("/readyz").json()["ready"] is True
        assert health(server) == SERVING


def test_a_required_model_that_is_absent_keeps_the_server_not_ready(models: Path):
    with running_server(models / "two", "--required-models", "two,three", wait_ready=False) as server:
        assert server.event("not_ready")["reasons"] == ["required model 'three' is not here"]


def test_a_gpu_that_is_not_in_use_ends_with_4(models: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is built with CUDA: a GPU may really be in use here")
    code, sentence = failure(models / "two", "--device", "gpu")
    assert code == 4
    assert "kedge[onnx-gpu]" in sentence


def test_auto_says_which_device_it_took(models: Path):
    with running_server(models / "two", "--device", "auto") as server:
        event = server.event("model_loaded")
        ((labels, value), _) = server.samples("kedge_model_info")
        assert (labels["device"], labels["format"], value) == (event["device"], "onnx", 1)
        assert (event["device"] == "cpu") == bool(event["no_gpu_because"])


def test_while_it_loads_it_answers_probes_and_refuses_calls(models: Path):
    with running_server(models / "slow", *SLOW_LOAD, wait_ready=False) as server:
        assert server.get("/healthz").status == 200
        reply = server.get("/readyz")
        assert (reply.status, reply.json()["models"][0]["state"]) == (503, "loading")
        assert health(server) == health(server, "slow") == NOT_SERVING
        with Client(server.grpc) as client, pytest.raises(ClientError, match="not ready: loading") as caught:
            client.predict("slow", SLOW_ROWS)
        assert caught.value.code == "UNAVAILABLE"
        server.wait_ready()
        assert health(server) == health(server, "slow") == SERVING


def test_it_serves_where_its_standard_streams_are_closed(models: Path, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [str(COMMAND), str(models / "two"), "--http-address", "127.0.0.1:0", "--grpc-address", address]
    command += ["--state-dir", str(tmp_path)]
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    try:
        with Client(address) as client:
            end = time.monotonic() + 30
            while not answers(client, "two") and time.monotonic() < end:
                time.sleep(0.1)
            assert client.ask("two", ones()).version == 2
        assert {Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)} == {Path(os.devnull)}
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)


def answers(client: Client, model: str) -> bool:
    try:
        return client.is_ready(model)
    except ClientError:
        return False


def test_the_command_is_installed_under_its_name():
    command = Path(sys.executable).with_name("serve-model")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("kedge ")
