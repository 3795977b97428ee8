"""Models that share cores: who may begin a run, and who is next."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kedge_bundle.runtimes.onnx import OnnxRuntime
from kedge_bundle.signature import Tensors
from kedge_server.core_shares import CoreShare, CoreShares, all_cores
from kedge_server.jobs import Job
from tests.server.shop import Shop, stocked

TIMEOUT_S = 10.0


class Waiting:
    """An instance that waits for a core, in a thread of its own."""

    def __init__(self, share: CoreShare) -> None:
        self.has_begun = threading.Event()
        self._share = share
        self._thread = threading.Thread(target=self._begin, daemon=True)
        self._thread.start()
        wait_until(lambda: share in share._shares._waiting)

    def _begin(self) -> None:
        self._share.begin()
        self.has_begun.set()

    def begins(self) -> bool:
        return self.has_begun.wait(TIMEOUT_S)


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_model_that_nobody_disturbs_runs_as_often_as_it_has_instances():
    alone, beside = CoreShares(2).share(1), all_cores()
    assert [alone.try_begin() for _ in range(5)] == [True] * 5
    assert [beside.try_begin() for _ in range(5)] == [True] * 5


def test_every_model_may_run_once_however_few_the_cores():
    cores = CoreShares(1)
    assert [cores.share(2).try_begin() for _ in range(4)] == [True] * 4


def test_beside_another_model_a_second_run_takes_a_core_that_is_left():
    cores = CoreShares(3)
    one, other = cores.share(1), cores.share(1)
    assert [one.try_begin(), other.try_begin(), other.try_begin()] == [True] * 3
    assert not one.try_begin()
    other.end()
    assert one.try_begin()


def test_threads_inside_a_run_count_as_cores():
    cores = CoreShares(4)
    one, other = cores.share(2), cores.share(1)
    assert [other.try_begin(), one.try_begin()] == [True, True]
    assert not one.try_begin()
    assert other.try_begin()


def test_a_core_that_becomes_free_goes_to_the_model_that_has_least():
    cores = CoreShares(4)
    greedy, late = cores.share(1), cores.share(1)
    assert [greedy.try_begin() for _ in range(4)] == [True] * 4
    assert late.try_begin()
    second = Waiting(late)
    greedy.end()  # four runs on four cores: nothing is free
    assert not second.has_begun.is_set()
    greedy.end()
    assert second.begins()
    third, another = Waiting(late), Waiting(greedy)
    greedy.end()
    assert another.begins(), "greedy has one by now, and late two"
    assert not third.has_begun.is_set()


def test_nobody_passes_a_model_that_has_less_and_waits():
    cores = CoreShares(3)
    greedy, small = cores.share(1), cores.share(2)
    assert [greedy.try_begin(), greedy.try_begin(), small.try_begin()] == [True] * 3
    assert not greedy.try_begin()
    second = Waiting(small)
    greedy.end()
    assert not greedy.try_begin()
    greedy.end()
    assert second.begins(), "nobody else computes"


def test_all_that_wait_begin_when_the_others_are_done():
    cores = CoreShares(1)
    one, other = cores.share(1), cores.share(1)
    assert [one.try_begin(), other.try_begin()] == [True, True]
    waiting = [Waiting(one) for _ in range(3)]
    other.end()
    assert all(each.begins() for each in waiting)


class HeldRuns:
    """Stands between instances and onnxruntime: each run waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[float] = []
        self._let_go: dict[float, threading.Event] = {}
        run = OnnxRuntime.run

        def held(runtime: OnnxRuntime, inputs: Tensors) -> Tensors:
            name = float(inputs["x"][0, 0])
            event = self._let_go.setdefault(name, threading.Event())
            self.begun.append(name)
            assert event.wait(TIMEOUT_S)
            return run(runtime, inputs)

        monkeypatch.setattr(OnnxRuntime, "run", held)

    def let_go(self, name: float) -> None:
        self._let_go[name].set()


def test_instances_of_two_models_on_one_core_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge_server.lifecycle.usable_cores", lambda: 1)
    monkeypatch.setattr("kedge_server.arranging.QUICK_S", 0.0)

    async def story() -> list[float]:
        shop = Shop(stocked(tmp_path), instances=2)
        await shop.start()
        held = HeldRuns(monkeypatch)

        async def begun(*names: float) -> None:
            await asyncio.to_thread(wait_until, lambda: sorted(held.begun) == sorted(names))

        def ask(model: str, name: float) -> asyncio.Future[Any]:
            (served,) = shop.models.versions(model)
            job: Job[Any] = Job({"x": np.full((1, 4), name, np.float32)}, 1, lambda outputs: outputs["y"][0, 0])
            return asyncio.ensure_future(served.loaded.scheduler.run(job))

        asked = [ask("m", 1.0)]
        await begun(1.0)
        asked += [ask("other", 10.0)]
        await begun(1.0, 10.0)
        asked += [ask("m", 2.0)]
        (served,) = shop.models.versions("m")
        await asyncio.to_thread(wait_until, lambda: bool(served.loaded.scheduler.queued_rows))
        await asyncio.sleep(0.1)
        assert held.begun == [1.0, 10.0], "the second instance waits: each model runs once"
        held.let_go(10.0)
        await begun(1.0, 10.0, 2.0)
        held.let_go(1.0)
        held.let_go(2.0)
        return list(await asyncio.gather(*asked))

    assert asyncio.run(story()) == [1.0, 10.0, 2.0]
