"""The repository changes under a running server: what is taken over, what is not, and who notices."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kedge_server.client import Client, ClientError
from tests.server.callers import Callers
from tests.server.in_process import tampered
from tests.services.bundles import identity, publish, slow_matmul, two_output
from tests.services.server_process import ServerProcess, running_server, started_server

WAIT_S = 30.0
ONES = {name: np.ones((1, 3), np.float32) for name in "ab"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    publish(two_output(scale=1), models, "two", version=1)
    publish(identity(), models, "identity")
    return models


def scaled(repository: Path, version: int) -> Path:
    """Publish a version of `two` that answers `version` times the sum."""
    return publish(two_output(scale=version), repository, "two", version=version).directory


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)


def states(server: ServerProcess, name: str = "two") -> dict[int, str]:
    models = server.get("/readyz").json()["models"]
    return {model["version"]: model["state"] for model in models if model["name"] == name}


def wait_for_states(server: ServerProcess, wanted: dict[int, str]) -> None:
    wait_until(lambda: states(server) == wanted)


def events(server: ServerProcess, name: str) -> list[dict[str, object]]:
    return [event for event in server.log() if event.get("event") == name]


def test_a_new_version_is_taken_over_under_load_and_every_answer_is_from_one_version(repository: Path):
    with running_server(repository, "--versions", "latest:1") as server:
        with Callers(server.grpc, "two", threads=2, inputs=ONES) as callers, Client(server.grpc) as client:
            callers.wait_for(50)
            scaled(repository, 2)
            wait_for_states(server, {2: "ready"})
            answer = client.ask("two", ONES)
            assert (answer.version, answer.outputs["total"].tolist()) == (2, [[4, 4, 4]])
            callers.wait_for(callers.answers + 50)
        assert (callers.errors, callers.lost) == ({}, [])
        assert {
            labels["version"] for labels, _ in server.samples("kedge_requests_total") if labels["model"] == "two"
        } == {"2"}
        assert {labels["version"] for labels, _ in server.samples("kedge_model_info") if labels["model"] == "two"} == {
            "2"
        }
        assert server.stop() == 0


def test_requests_in_flight_are_answered_by_the_version_that_took_them(tmp_path: Path):
    repository = tmp_path / "models"
    publish(slow_matmul(), repository, "slow")
    rows = {"x": np.zeros((100, 1024), np.float32)}
    with running_server(repository, "--versions", "latest:1", "--max-batch-rows", "1") as server:
        with Callers(server.grpc, "slow", threads=4, inputs=rows) as callers:
            server.wait_in_flight(4)
            publish(slow_matmul(), repository, "slow")
            unloading = server.event("model_unloading")
            server.event("model_unloaded")
            callers.wait_for(callers.answers + 4)
        assert unloading["in_flight"] > 0
        assert (callers.errors, callers.lost) == ({}, [])


def test_every_version_answers_by_default_and_one_that_is_taken_away_goes(repository: Path):
    with running_server(repository) as server, Client(server.grpc) as client:
        scaled(repository, 3)
        scaled(repository, 2)
        wait_for_states(server, {1: "ready", 2: "ready", 3: "ready"})
        assert client.ask("two", ONES).version == 3
        shutil.rmtree(repository / "two" / "3")
        wait_for_states(server, {1: "ready", 2: "ready"})
        assert client.ask("two", ONES).version == 2
        with pytest.raises(ClientError, match="has no version 3; it has 1, 2"):
            client.ask("two", ONES, version=3)


def test_a_new_model_is_served_when_it_comes(repository: Path):
    with running_server(repository) as server, Client(server.grpc) as client:
        publish(two_output(scale=5), repository, "five")
        wait_until(lambda: states(server, "five") == {1: "ready"})
        assert client.ask("five", ONES).outputs["total"].tolist() == [[10, 10, 10]]


def test_a_broken_new_version_is_reported_changes_nothing_and_is_tried_again_once_mended(
    repository: Path, tmp_path: Path
):
    whole = scaled(tmp_path / "elsewhere", 2)
    broken = shutil.copytree(whole, tmp_path / "broken")
    tampered(broken)
    with running_server(repository, "--versions", "latest:1") as server, Client(server.grpc) as client:
        broken.rename(repository / "two" / "2")
        event = server.event("model_failed")
        assert (event["model"], event["version"]) == ("two", 2)
        assert "is not the file that was proven" in event["error"]
        reply = server.get("/readyz")
        assert (reply.status, reply.json()["reasons"]) == (200, [])
        assert states(server) == {1: "ready", 2: "failed"}
        assert server.metric("kedge_model_ready", model="two", version=2) == 0
        assert client.ask("two", ONES).version == 1
        shutil.copy(whole / "model.onnx", repository / "two" / "2" / "model.onnx")
        wait_for_states(server, {2: "ready"})
        assert client.ask("two", ONES).version == 2
        assert len(events(server, "model_failed")) == 1


STILL_S = 0.45
"""A little less than what the server takes for the end of a copy."""


def copied_slowly(whole: Path, target: Path) -> float:
    """Copy a bundle file by file; the longest time between two changes, in seconds."""
    target.mkdir()
    last, longest = time.monotonic(), 0.0
    for path in sorted(whole.iterdir()):  # the manifest comes before what it lists
        shutil.copy(path, target / path.name)
        last, longest = time.monotonic(), max(longest, time.monotonic() - last)
        time.sleep(0.2)
    return longest


def test_a_bundle_that_is_being_copied_is_loaded_when_it_is_whole(repository: Path, tmp_path: Path):
    with running_server(repository) as server:
        for version in range(2, 7):
            whole = scaled(tmp_path / "elsewhere", version)
            longest = copied_slowly(whole, repository / "two" / str(version))
            wait_for_states(server, dict.fromkeys(range(1, version + 1), "ready"))
            if longest < STILL_S:
                break
        else:
            pytest.fail("this machine is too busy to copy a file every fifth of a second")
        assert [event for event in events(server, "model_failed") if event["version"] == version] == []


def test_where_the_latest_is_broken_at_the_start_the_next_best_serves(repository: Path):
    scaled(repository, 2)
    tampered(scaled(repository, 3))
    with running_server(repository, "--versions", "latest:1") as server:
        assert states(server) == {2: "ready", 3: "failed"}
        assert server.event("model_failed")["version"] == 3


def test_only_specific_versions_are_served(repository: Path):
    for version in (2, 3):
        scaled(repository, version)
    publish(identity(), repository, "identity", version=3)
    with running_server(repository, "--versions", "specific:1,3") as server:
        assert states(server) == {1: "ready", 3: "ready"}
        assert states(server, "identity") == {1: "ready", 3: "ready"}
        scaled(repository, 4)
        publish(identity(), repository, "other", version=3)
        wait_until(lambda: states(server, "other") == {3: "ready"})
        assert states(server) == {1: "ready", 3: "ready"}


def test_a_label_moves_once_its_new_version_is_ready(repository: Path, tmp_path: Path):
    file = repository / "two" / "labels.json"
    file.write_text(json.dumps({"stable": 1}))

    def move(labels: object) -> None:
        (tmp_path / "labels").write_text(json.dumps(labels))
        (tmp_path / "labels").rename(file)

    with running_server(repository, "--versions", "latest:1") as server, Client(server.grpc) as client:

        def named() -> object:
            return events(server, "labels")[-1]["labels"]

        scaled(repository, 2)
        wait_for_states(server, {1: "ready", 2: "ready"})
        assert named() == {"stable": 1}
        move({"stable": 3, "canary": 2})
        wait_until(lambda: named() == {"stable": 1, "canary": 2})
        scaled(repository, 3)
        wait_until(lambda: named() == {"stable": 3, "canary": 2})
        wait_for_states(server, {2: "ready", 3: "ready"})
        move("nonsense")
        assert "labels.json" in server.event("labels_invalid")["error"]
        assert named() == {"stable": 3, "canary": 2}
        assert client.ask("two", ONES).version == 3


def test_labels_may_come_from_a_setting(repository: Path):
    with running_server(repository, "--labels", "two:stable=1,two:next=2", "--watch", "off") as server:
        assert server.event("labels")["labels"] == {"stable": 1}


def test_a_repository_that_disappears_stops_nothing(repository: Path):
    with running_server(repository) as server, Client(server.grpc) as client:
        away = repository.rename(repository.with_name("away"))
        assert server.event("repository_gone")["effect"] == "what is loaded goes on answering"
        assert client.ask("two", ONES).version == 1
        repository.mkdir()  # a mount point without its share
        scaled(away, 2)
        time.sleep(2.5)
        assert states(server) == {1: "ready"}
        assert server.get("/readyz").status == 200
        repository.rmdir()
        away.rename(repository)
        server.event("repository_there")
        wait_for_states(server, {1: "ready", 2: "ready"})
        scaled(repository, 3)  # it is watched again
        wait_for_states(server, {1: "ready", 2: "ready", 3: "ready"})
        assert len(events(server, "repository_gone")) == 1
        assert server.stop() == 0


def test_a_look_that_never_comes_back_stops_nothing(repository: Path):
    with running_server(repository) as server, Client(server.grpc) as client:
        os.mkfifo(repository / "two" / "labels.json")  # whoever opens it waits, as with a share that hangs
        scaled(repository, 2)
        time.sleep(1.5)
        assert client.ask("two", ONES).version == 1
        assert server.get("/readyz").status == 200
        assert server.stop() == 0


def test_the_last_version_of_a_model_and_a_whole_model_stay_when_their_directories_go(repository: Path):
    with running_server(repository) as server, Client(server.grpc) as client:
        tampered(scaled(repository, 2))
        server.event("model_failed")
        shutil.rmtree(repository / "two" / "1")
        assert server.event("versions_gone")["versions"] == [1]
        shutil.rmtree(repository / "identity")
        wait_until(lambda: len(events(server, "versions_gone")) == 2)
        assert client.ask("two", ONES).version == 1
        assert states(server, "identity") == {1: "ready"}


def test_a_server_that_does_not_watch_loads_nothing_and_does_without_watchfiles(repository: Path, tmp_path: Path):
    (tmp_path / "watchfiles.py").write_text("raise ImportError('not wanted')")
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    with running_server(repository, "--watch", "off", env=env) as server:
        scaled(repository, 2)
        time.sleep(1.5)
        assert states(server) == {1: "ready"}
        assert events(server, "not_notified") == []


def test_where_nothing_tells_of_changes_it_looks_by_itself(repository: Path, tmp_path: Path):
    (tmp_path / "watchfiles.py").write_text("def watch(*_, **__): raise OSError('OS file watch limit reached')")
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    with running_server(repository, env=env) as server:
        assert "OSError: OS file watch limit reached" in server.event("not_notified")["error"]
        scaled(repository, 2)
        wait_for_states(server, {1: "ready", 2: "ready"})


def test_a_policy_that_wants_none_of_what_there_is_ends_with_3(repository: Path):

    with started_server(repository, "--versions", "specific:9") as server:
        assert (
            "no version in here is among those wanted; see --versions specific:9"
            in server.event("cannot_serve")["error"]
        )
        assert server.wait() == 3


def test_a_required_model_counts_once_it_has_been_ready(repository: Path):
    with running_server(repository, "--required-models", "two,late", wait_ready=False) as server:
        wait_until(lambda: server.get("/readyz").json()["reasons"] == ["required model 'late' is not here"])
        publish(identity(), repository, "late")
        server.wait_ready()
