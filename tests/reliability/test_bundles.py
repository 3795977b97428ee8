"""Disks that fail: bundles that are partial or changed, that vanish while they are served, and no room to write."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kedge_server.client import Client, ClientError
from tests.server.callers import Callers
from tests.server.test_app import answers, as_anybody, ones
from tests.services.bundles import publish, slow_matmul, two_output
from tests.services.server_process import COMMAND, ServerProcess, clean_environment, running_server


@pytest.fixture
def own_models(models: Path, tmp_path: Path) -> Path:
    """A copy to break: `identity`, and `two` in two versions."""
    for name in ("identity", "two"):
        shutil.copytree(models / name, tmp_path / "models" / name)
    publish(two_output(scale=3), tmp_path / "models", "two")
    return tmp_path / "models"


def cut(path: Path) -> None:
    """Keep the first half of a file, as a copy does that is under way or was interrupted."""
    os.truncate(path, path.stat().st_size // 2)


def replaced_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


BREAKAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "gone": ("model.onnx", Path.unlink),
    "half": ("model.onnx", cut),
    "empty": ("model.onnx", lambda path: os.truncate(path, 0)),
    "a directory": ("model.onnx", replaced_by_a_directory),
    "a link to nothing": ("model.onnx", lambda path: (path.unlink(), path.symlink_to("nothing"))),
    "no golden answers": ("golden.npz", Path.unlink),
    "half the golden answers": ("golden.npz", cut),
    "no manifest": ("manifest.json", Path.unlink),
    "half a manifest": ("manifest.json", cut),
    "an empty manifest": ("manifest.json", lambda path: os.truncate(path, 0)),
    "a manifest of zeros": ("manifest.json", lambda path: path.write_bytes(bytes(4096))),
}


def test_broken_versions_are_named_and_the_version_before_them_answers(tmp_path: Path):
    publish(two_output(), tmp_path, "two")
    directories = {kind: publish(two_output(), tmp_path, "two").directory for kind in BREAKAGES}
    for kind, (file, break_) in BREAKAGES.items():
        break_(directories[kind] / file)
    with running_server(tmp_path, wait_ready=False) as server:
        server.event("not_ready")
        failed = {event["version"]: event["error"] for event in server.log() if event["event"] == "model_failed"}
        assert failed.keys() == {int(directory.name) for directory in directories.values()}
        assert all(str(directory) in failed[int(directory.name)] for directory in directories.values()), failed
        with Client(server.grpc) as client:
            assert client.ask("two", ones()).version == 1
        assert "Traceback" not in "\n".join(server.lines)
        assert server.stop() == 0


def test_a_repository_that_vanishes_stops_nothing(own_models: Path):
    with running_server(own_models) as server, Callers(server.grpc, "identity", threads=4) as callers:
        callers.wait_for(answers=100)
        shutil.rmtree(own_models)
        callers.wait_for(answers=callers.answers + 1000)
        with Client(server.grpc) as client:
            for version in (1, 2):
                assert client.ask("two", ones(), version=version).version == version
        assert server.get("/readyz").status == 200
        callers.finish()
        callers.join()
        assert server.stop() == 0
    assert (callers.wrong, callers.errors) == ([], {})


def test_bytes_that_change_under_a_running_server_change_no_answer(own_models: Path):
    with running_server(own_models / "two") as server, Client(server.grpc) as client:
        before = client.predict("two", ones())["total"]
        for file in (own_models / "two" / "2").iterdir():
            os.truncate(file, 0)
        np.testing.assert_array_equal(client.predict("two", ones())["total"], before)
        assert server.get("/readyz").status == 200


def test_a_repository_that_vanishes_while_it_loads_ends_in_a_sentence_or_in_service(tmp_path: Path):
    """What was read before is served; what was not is named."""
    repository = tmp_path / "models"
    for _ in range(8):
        publish(slow_matmul(size=128), repository, "slow")
    with running_server(repository, wait_ready=False) as server:
        shutil.rmtree(repository)
        outcomes = wait_for_outcomes(server, 8)
        assert "Traceback" not in "\n".join(server.lines)
        if "model_loaded" in outcomes:
            with Client(server.grpc) as client:
                assert client.predict("slow", {"x": np.zeros((3, 128), np.float32)})["y"].shape == (3, 128)
            assert server.stop() == 0
        else:
            assert server.event("cannot_serve")["exit_code"] == server.wait() == 3


def wait_for_outcomes(server: ServerProcess, versions: int) -> list[str]:
    """What became of every version: `model_loaded` or `model_failed`."""
    end = time.monotonic() + 30
    while True:
        outcomes = [event["event"] for event in server.log() if event.get("event") in {"model_loaded", "model_failed"}]
        if len(outcomes) == versions:
            return outcomes
        assert time.monotonic() < end, server.lines
        time.sleep(0.02)


def test_it_serves_where_nothing_can_be_written(own_models: Path, tmp_path: Path):
    """A disk that is read-only and full: no file may get a single byte, the log's neither."""
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    for directory in (*own_models.rglob("*"), own_models, nowhere):
        directory.chmod(0o555 if directory.is_dir() else 0o444)
    command = tmp_path / "serve-model"
    words = " ".join(["prlimit", "--fsize=0", *as_anybody(), str(COMMAND)])
    command.write_text(f'#!/bin/sh\ncd {nowhere} && exec {words} "$@"\n')
    command.chmod(0o755)
    env = {name: str(nowhere) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    with running_server(own_models, env=env, command=command) as server, Client(server.grpc) as client:
        assert client.ask("two", ones()).version == 2
        assert server.get("/metrics").status == 200
        assert server.stop() == 0
    assert list(nowhere.iterdir()) == []


def test_it_serves_where_its_log_cannot_be_written(models: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [COMMAND, models / "lookup", "--http-address", "127.0.0.1:0", "--grpc-address", address]
    with Path("/dev/full").open("w") as full:  # no space left on device, at every write
        process = subprocess.Popen(command, stderr=full, env=clean_environment())
    try:
        with Client(address) as client:
            end = time.monotonic() + 30
            while not answers(client, "lookup"):
                assert time.monotonic() < end
                time.sleep(0.05)
            assert client.predict("lookup", {"x": [[3]]})["y"].item() == 30
            with pytest.raises(ClientError, match="incident"):  # this one would be logged
                client.predict("lookup", {"x": [[99]]})
            assert client.predict("lookup", {"x": [[4]]})["y"].item() == 40
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)
