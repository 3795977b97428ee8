"""Loads side by side, measurements alone."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kedge_bundle.store import Bundle, open_bundle
from kedge_server.load_turns import LoadTurns
from kedge_server.loading import Place, prepare
from kedge_server.session import Options
from kedge_server.tuner import Tuner
from kedge_server.tuning import Measured, measure_all
from kedge_server.tuning_cache import TuningCache
from tests.services.bundles import publish, slow_matmul


class Story:
    """What happens in the threads of a test, in order."""

    def __init__(self, patience_s: float = 30.0) -> None:
        self.turns = LoadTurns(patience_s)
        self.events: list[str] = []
        self.go_on: dict[str, threading.Event] = {}
        self.alone: dict[str, bool] = {}

    def load(self, name: str, *, measures: bool = True) -> None:
        """Load until told to go on, then measure until told to."""
        with self.turns.loading():
            self._stay(f"{name} loads")
            if measures:
                with self.turns.measuring() as measurement:
                    self._stay(f"{name} measures")
                self.alone[name] = measurement.was_alone
            self.events.append(f"{name} is done")

    def _stay(self, what: str) -> None:
        self.go_on[what] = threading.Event()
        self.events.append(what)
        assert self.go_on[what].wait(30)

    def wait(self, what: str) -> None:
        end = time.monotonic() + 30
        while what not in self.events:
            assert time.monotonic() < end, self.events
            time.sleep(0.001)

    def go(self, what: str) -> None:
        """Let it go on once it is there."""
        self.wait(what)
        self.go_on[what].set()


@pytest.fixture
def begin() -> Callable[..., object]:
    pool = ThreadPoolExecutor(4)
    yield pool.submit
    pool.shutdown()


def test_whoever_measures_waits_for_those_that_load_and_those_that_come_wait_for_it(begin: Callable[..., object]):
    story = Story()
    begin(story.load, "one")
    begin(story.load, "two", measures=False)
    story.wait("two loads")
    story.go("one loads")
    time.sleep(0.1)
    begin(story.load, "three")
    time.sleep(0.1)
    assert sorted(story.events) == ["one loads", "two loads"]
    story.go("two loads")
    story.wait("one measures")
    time.sleep(0.1)
    assert "three loads" not in story.events
    story.go("one measures")
    story.go("three loads")
    story.go("three measures")
    story.wait("three is done")
    assert story.events.index("one measures") > story.events.index("two is done")
    assert story.alone == {"one": True, "three": True}


def test_two_that_want_to_measure_take_turns(begin: Callable[..., object]):
    story = Story()
    for name in ("one", "two"):
        begin(story.load, name)
        story.wait(f"{name} loads")
    for name in ("one", "two"):
        story.go(f"{name} loads")
    end = time.monotonic() + 30
    while not (measured := [event for event in story.events if "measures" in event]):
        assert time.monotonic() < end
    time.sleep(0.1)
    assert [event for event in story.events if "measures" in event] == measured
    story.go(measured[0])
    story.go(f"{'two' if 'one' in measured[0] else 'one'} measures")
    story.wait("one is done")
    story.wait("two is done")
    assert story.alone == {"one": True, "two": True}


def test_nobody_waits_for_ever_for_a_load_that_hangs(begin: Callable[..., object]):
    story = Story(patience_s=0.2)
    begin(story.load, "hanging", measures=False)
    story.wait("hanging loads")
    begin(story.load, "one")
    story.go("one loads")
    story.wait("one measures")
    began = time.monotonic()
    begin(story.load, "two")
    story.wait("two loads")  # beside what is measured, after a while
    assert time.monotonic() - began >= 0.15
    story.go("one measures")
    story.wait("one is done")
    story.go("two loads")
    story.wait("two measures")
    story.go("hanging loads")
    story.wait("hanging is done")
    story.go("two measures")
    story.wait("two is done")
    assert story.alone == {"one": False, "two": False}  # beside one that hung


def test_nobody_waits_for_ever_for_a_measurement_that_hangs(begin: Callable[..., object]):
    story = Story(patience_s=0.2)
    begin(story.load, "hanging")
    story.go("hanging loads")
    story.wait("hanging measures")
    began = time.monotonic()
    begin(story.load, "one")
    story.go("one loads")
    story.wait("one measures")
    assert time.monotonic() - began >= 0.15
    story.go("one measures")
    story.wait("one is done")
    story.go("hanging measures")
    story.wait("hanging is done")
    assert story.alone == {"one": False, "hanging": False}


def test_what_a_load_measures_counts_for_no_part_of_it(begin: Callable[..., object]):
    turns = LoadTurns(2.0)
    happened: list[str] = []

    def first() -> None:
        with turns.loading():
            with turns.measuring():
                time.sleep(1.2)
            time.sleep(1.2)
            happened.append("first is done")

    def second() -> None:
        time.sleep(0.1)
        with turns.loading(), turns.measuring():
            happened.append("second measures")

    for story in (begin(first), begin(second)):
        story.result(30)  # type: ignore[attr-defined]
    assert happened == ["first is done", "second measures"]


def test_what_raises_leaves_its_turn():
    turns = LoadTurns(0.01)

    def fail() -> None:
        with turns.loading(), turns.measuring():
            raise OSError("gone")

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            fail()


def test_a_bundle_is_not_measured_while_another_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    places = []
    for name in ("quick", "late"):
        publish(slow_matmul(512, 8), tmp_path, name)
        places.append(Place(name, 1, tmp_path / name / "1"))
    happened: list[str] = []

    def opened(directory: Path) -> Bundle:
        if directory.parent.name == "late":
            time.sleep(1)
        happened.append(f"{directory.parent.name} is open")
        return open_bundle(directory)

    def measured(*arguments: Any) -> list[Measured]:  # noqa: ANN401
        happened.append("measured")
        return measure_all(*arguments)

    monkeypatch.setattr("kedge_server.loading.open_bundle", opened)
    monkeypatch.setattr("kedge_server.arranging.measure_all", measured)
    options = Options(device="cpu", tuner=Tuner("quick", 0.0, TuningCache(None)))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda place: prepare(place, options), places))
    assert happened == ["quick is open", "late is open", "measured", "measured"]
