"""Versions that come while others answer: nothing is measured, and what was found before is taken."""

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kedge_bundle.errors import RunnerError
from kedge_bundle.store import Bundle
from kedge_server.loading import Place, prepare
from kedge_server.session import Options
from kedge_server.tuner import Predecessor, Tuner
from kedge_server.tuning import Arrangement
from kedge_server.tuning_cache import TuningCache
from tests.server.tuned import SLOW, events, measured_as
from tests.services.bundles import publish
from tests.services.server_process import running_server


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("arranging", "tuning_plan"):
        monkeypatch.setattr(f"kedge_server.{module}.usable_cores", lambda: 4)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(SLOW, tmp_path / "models", "slow")


def test_beside_traffic_nothing_is_measured_but_what_was_found_is_taken(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = measured_as(monkeypatch, threads=1, instances=2, rows=8)
    options = Options(device="cpu", tuner=Tuner("quick", 0.0, TuningCache(tmp_path / "state")))
    place = Place("slow", 1, bundle.directory)
    assert prepare(place, options.beside_traffic()).arrangement == Arrangement(4, 1, 32, is_quick=False)
    assert not table.tried
    assert prepare(place, options).arrangement == Arrangement(2, 1, 8, is_quick=False)
    assert prepare(place, options.beside_traffic()).arrangement == Arrangement(2, 1, 8, is_quick=False)
    assert Options().beside_traffic() == Options()


@pytest.mark.parametrize(
    ("predecessor", "found"),
    [
        (Predecessor("onnx", "cpu", Arrangement(2, 1, 8, is_quick=False)), Arrangement(2, 1, 8, is_quick=False)),
        (Predecessor("tflite", "cpu", Arrangement(2, 1, 8, is_quick=False)), Arrangement(4, 1, 32, is_quick=False)),
        (Predecessor("onnx", "cuda:0", Arrangement(2, 1, 8, is_quick=False)), Arrangement(4, 1, 32, is_quick=False)),
        (Predecessor("onnx", "cpu", Arrangement(2, 1, 8, is_quick=True)), Arrangement(4, 1, 32, is_quick=False)),
        (Predecessor("onnx", "cpu", Arrangement(2, 2, 8, is_quick=False)), Arrangement(4, 1, 32, is_quick=False)),
        (Predecessor("onnx", "cpu", Arrangement(2, 1, 7, is_quick=False)), Arrangement(4, 1, 32, is_quick=False)),
    ],
    ids=[
        "alike",
        "another artifact",
        "another device",
        "not as quick",
        "threads that are not proven",
        "rows never to choose from",
    ],
)
def test_beside_traffic_a_version_is_served_as_the_one_before_it_where_it_is_alike(
    bundle: Bundle, predecessor: Predecessor, found: Arrangement
):
    options = Options(device="cpu", tuner=Tuner("quick", 0.0, TuningCache(None)))
    place = Place("slow", 1, bundle.directory)
    assert prepare(place, options.beside_traffic(predecessor)).arrangement == found


def test_an_instance_that_does_not_open_is_no_reason_not_to_serve(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise RunnerError("out of memory")

    options = Options(device="cpu", tuner=Tuner("quick", 0.0, TuningCache(None)), unproven_options="warn")
    predecessor = Predecessor("onnx", "cpu", Arrangement(2, 2, 8, is_quick=False))
    monkeypatch.setattr("kedge_server.arranging.Instances.open", fails)
    with capture_logs() as log:
        found = prepare(Place("slow", 1, bundle.directory), options.beside_traffic(predecessor))
    assert found.arrangement == Arrangement(4, 1, 32, is_quick=False)
    assert events(log, "not_as_predecessor")[0]["because"] == "out of memory"


def test_a_version_that_comes_while_the_server_runs_is_not_measured(bundle: Bundle):
    repository = bundle.directory.parents[1]
    with running_server(repository, "--device", "cpu") as server:
        publish(SLOW, repository, "slow")
        publish(SLOW, repository, "another")
        end = time.monotonic() + 30
        while len(found := events(server.log(), "tuned")) < 3:
            assert time.monotonic() < end
            time.sleep(0.05)
    first, *_ = found
    by_version = {(event["model"], event["version"]): event for event in found}
    assert (first["model"], first["source"]) == ("slow", "measured")
    assert by_version["another", 1]["source"] == "fixed"
    second = by_version["slow", 2]
    assert second["source"] == "predecessor"
    same = ("instances", "threads", "max_batch_rows", "on_event_loop")
    assert [second[name] for name in same] == [first[name] for name in same]
