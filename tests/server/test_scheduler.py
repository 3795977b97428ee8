import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from kedge_bundle.errors import RunFailed
from kedge_bundle.runtimes.onnx import OnnxRuntime
from kedge_bundle.signature import Tensors
from kedge_bundle.store import Bundle
from kedge_server.errors import DeadlinePassed, ModelFailed, QueueFull
from kedge_server.job_queue import QueueLimits
from kedge_server.jobs import USUAL_PRIORITY, Job
from kedge_server.scheduler import Run, Scheduler
from tests.server.in_process import LIMITS, lookup, prepared
from tests.services.bundles import identity, publish, slow_matmul

Bundles = dict[str, Bundle]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    repository = tmp_path_factory.mktemp("models")
    made = {"identity": identity(), "lookup": lookup(), "slow": slow_matmul(), "fixed": identity(shape=(2, 4))}
    return {name: publish(model, repository, name) for name, model in made.items()}


class Bench:
    """A scheduler on a running loop."""

    def __init__(self, bundle: Bundle, limits: QueueLimits, instances: int, *, is_quick: bool) -> None:
        self.runs: list[Run] = []
        runtimes = prepared(bundle, instances=instances).runtimes
        self.scheduler = Scheduler("bench/1", runtimes, limits, self.runs.append, is_quick=is_quick)

    async def run(
        self,
        x: Any,  # noqa: ANN401
        deadline: float | None = None,
        complete: Any = None,  # noqa: ANN401
        priority: int = USUAL_PRIORITY,
    ) -> Any:  # noqa: ANN401
        array = np.asarray(x)
        complete = complete or (lambda outputs: outputs["y"])
        job: Job[Any] = Job({"x": array}, array.shape[0], complete, None, deadline, priority)
        return await self.scheduler.run(job)


def play(
    bundle: Bundle,
    story: Any,  # noqa: ANN401
    limits: QueueLimits = LIMITS,
    instances: int = 1,
    *,
    is_quick: bool = False,
) -> Any:  # noqa: ANN401
    """Run `story(bench)` on a loop of its own."""

    async def told() -> Any:  # noqa: ANN401
        bench = Bench(bundle, limits, instances, is_quick=is_quick)
        try:
            return await story(bench)
        finally:
            await bench.scheduler.close(10)

    return asyncio.run(told())


async def outcomes(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


LONG = 1000
"""Rows that take `slow` hundreds of milliseconds."""

WHOLE = QueueLimits(queue_rows=1024, max_batch_rows=LONG)


def slow_rows(rows: int = 1) -> Tensors:
    return np.zeros((rows, 1024), np.float32)  # type: ignore[return-value]


def test_every_caller_gets_its_own_rows_back(bundles: Bundles):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(int(rows), 4)).astype(np.float32) for rows in rng.integers(1, 9, 3000)]

    async def story(bench: Bench) -> list[Any]:
        limit = asyncio.Semaphore(200)

        async def ask(array: Any) -> Any:  # noqa: ANN401
            async with limit:
                return await bench.run(array)

        answers = await asyncio.gather(*(ask(array) for array in inputs))
        assert sum(run.rows for run in bench.runs) == sum(len(array) for array in inputs)
        assert len(bench.runs) < len(inputs)  # batches formed
        assert max(run.rows for run in bench.runs) <= 32
        return answers

    for given, answer in zip(inputs, play(bundles["identity"], story, instances=2), strict=True):
        np.testing.assert_array_equal(answer, given)


def test_one_poisoned_job_harms_only_itself(bundles: Bundles):
    async def story(bench: Bench) -> list[Any]:
        good = [bench.run([[i % 10]]) for i in range(20)]
        return await outcomes(*good[:10], bench.run([[99]]), *good[10:])

    limits = QueueLimits(queue_rows=100, max_batch_rows=100, window_s=0.2)
    answers = play(bundles["lookup"], story, limits)
    poisoned = answers.pop(10)
    assert isinstance(poisoned, ModelFailed)
    assert poisoned.incident in str(poisoned)
    assert "Gather" not in str(poisoned)  # what the runtime says is for the log
    assert [answer.item() for answer in answers] == [i % 10 * 10.0 for i in range(20)]


def test_a_failed_batch_is_told_as_a_run_that_failed(bundles: Bundles):
    async def story(bench: Bench) -> list[bool]:
        await outcomes(bench.run([[1]]), bench.run([[99]]))
        return [run.is_ok for run in bench.runs]

    limits = QueueLimits(queue_rows=100, max_batch_rows=100, window_s=0.2)
    assert play(bundles["lookup"], story, limits) == [False, True, False]


def test_an_instance_outlives_whatever_completing_a_job_does(bundles: Bundles):
    def spoil(_: Tensors) -> None:
        raise KeyError("ours")

    async def story(bench: Bench) -> list[Any]:
        first = await outcomes(bench.run([[1]], complete=spoil), bench.run([[2]]))
        return [*first, await bench.run([[3]])]

    spoiled, *answers = play(bundles["lookup"], story)
    assert isinstance(spoiled, KeyError)
    assert [answer.item() for answer in answers] == [20.0, 30.0]


def test_a_deadline_that_has_passed_is_refused_at_admission(bundles: Bundles):
    async def story(bench: Bench) -> None:
        with pytest.raises(DeadlinePassed, match="before the request was queued"):
            await bench.run([[1]], deadline=time.monotonic() - 0.001)
        assert bench.runs == []

    play(bundles["lookup"], story)


def test_a_deadline_in_the_queue_is_answered_in_time_and_never_runs(bundles: Bundles):
    async def story(bench: Bench) -> None:
        busy = asyncio.ensure_future(bench.run(slow_rows(LONG)))
        await asyncio.sleep(0.02)
        started = time.monotonic()
        with pytest.raises(DeadlinePassed, match="in the queue"):
            await bench.run(slow_rows(), deadline=started + 0.03)
        assert not busy.done()  # answered at the deadline, not after the run that is under way
        assert bench.scheduler.queued_rows == 0
        await busy
        assert [run.rows for run in bench.runs] == [LONG]

    play(bundles["slow"], story, WHOLE)


def test_a_deadline_during_the_run_is_answered_in_time(bundles: Bundles):
    async def story(bench: Bench) -> None:
        started = time.monotonic()
        with pytest.raises(DeadlinePassed, match="while the model ran"):
            await bench.run(slow_rows(LONG), deadline=started + 0.05)
        assert bench.runs == []

    play(bundles["slow"], story, WHOLE)


def test_a_deadline_that_is_kept_changes_nothing(bundles: Bundles):
    async def story(bench: Bench) -> Any:  # noqa: ANN401
        return await bench.run([[4]], deadline=time.monotonic() + 60)

    assert play(bundles["lookup"], story).item() == 40.0


def test_a_job_cancelled_in_the_queue_leaves_it_and_never_runs(bundles: Bundles):
    async def story(bench: Bench) -> None:
        busy = asyncio.ensure_future(bench.run(slow_rows(LONG)))
        await asyncio.sleep(0.02)
        waiting = [asyncio.ensure_future(bench.run(slow_rows(3))) for _ in range(4)]
        await asyncio.sleep(0.01)
        assert bench.scheduler.queued_rows == 12
        for task in waiting[:3]:
            task.cancel()
        await outcomes(*waiting[:3])  # type: ignore[arg-type]
        assert bench.scheduler.queued_rows == 3
        await asyncio.gather(busy, waiting[3])
        assert [run.rows for run in bench.runs] == [LONG, 3]

    play(bundles["slow"], story, WHOLE)


def test_a_job_cancelled_during_its_run_harms_nobody(bundles: Bundles):
    async def story(bench: Bench) -> None:
        task = asyncio.ensure_future(bench.run(slow_rows(LONG)))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await bench.run(slow_rows(1))).shape == (1, 1024)

    play(bundles["slow"], story, WHOLE)


def test_a_job_whose_deadline_passes_before_the_loop_comes_to_it_is_told_so(bundles: Bundles):
    async def story(bench: Bench) -> None:
        late = asyncio.ensure_future(bench.run(np.ones((1, 4), np.float32), deadline=time.monotonic() + 0.005))
        other = asyncio.ensure_future(bench.run(np.ones((1, 4), np.float32)))
        await asyncio.sleep(0)
        time.sleep(0.01)  # noqa: ASYNC251 (the loop is busy)
        with pytest.raises(DeadlinePassed, match="the deadline"):
            await asyncio.wait_for(late, 5)
        assert (await other).tolist() == [[1] * 4]
        assert [run.rows for run in bench.runs] == [1]

    play(bundles["identity"], story, is_quick=True)


def test_a_job_whose_deadline_passes_in_a_batch_that_fails_is_told_so(
    bundles: Bundles, monkeypatch: pytest.MonkeyPatch
):
    async def story(bench: Bench) -> None:
        run = OnnxRuntime.run

        def failing(runtime: OnnxRuntime, inputs: Tensors) -> Tensors:
            if len(inputs["x"]) > 1:
                time.sleep(0.03)
                raise RunFailed("too many")
            return run(runtime, inputs)

        monkeypatch.setattr(OnnxRuntime, "run", failing)
        late = asyncio.ensure_future(bench.run(np.ones((1, 4), np.float32), deadline=time.monotonic() + 0.02))
        other = asyncio.ensure_future(bench.run(np.ones((1, 4), np.float32)))
        with pytest.raises(DeadlinePassed, match="the deadline"):
            await asyncio.wait_for(late, 5)
        assert (await other).tolist() == [[1] * 4]

    play(bundles["identity"], story, is_quick=True)


def test_a_full_queue_refuses_and_says_when_to_come_back(bundles: Bundles):
    async def story(bench: Bench) -> None:
        await bench.run(slow_rows(4))  # so that the time of a run is known
        busy = asyncio.ensure_future(bench.run(slow_rows(LONG)))
        await asyncio.sleep(0.02)
        waiting = asyncio.ensure_future(bench.run(slow_rows(LONG)))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="1000 of 1000 rows wait, 1 more do not fit") as caught:
            await bench.run(slow_rows(1))
        assert 0.01 <= caught.value.retry_after_s <= 30
        await asyncio.gather(busy, waiting)
        assert (await bench.run(slow_rows(8))).shape == (8, 1024)

    play(bundles["slow"], story, QueueLimits(queue_rows=LONG, max_batch_rows=LONG))


def test_a_deadline_that_what_waits_cannot_keep_is_refused_at_once(bundles: Bundles):
    async def story(bench: Bench) -> None:
        for _ in range(10):  # so that the time of a row is known
            await bench.run(slow_rows(64))
        busy = [asyncio.ensure_future(bench.run(slow_rows(400))) for _ in range(2)]
        await asyncio.sleep(0.01)
        started = time.monotonic()
        with pytest.raises(DeadlinePassed, match=r"the deadline is in \d+ ms, and 400 rows wait that take"):
            await bench.run(slow_rows(), deadline=started + 0.02)
        assert time.monotonic() < started + 0.02
        await asyncio.gather(*busy)

    play(bundles["slow"], story, QueueLimits(queue_rows=1024, max_batch_rows=400))


def test_a_request_larger_than_a_batch_is_split_over_the_instances_and_put_together_again(bundles: Bundles):
    async def story(bench: Bench) -> Any:  # noqa: ANN401
        completed: list[int] = []

        def complete(outputs: Tensors) -> Any:  # noqa: ANN401
            completed.append(outputs["y"].shape[0])
            return outputs["y"]

        x = np.arange(4000, dtype=np.float32).reshape(1000, 4)
        answers = await asyncio.gather(*(bench.run(x[start:], complete=complete) for start in (0, 7, 990)))
        for answer, start in zip(answers, (0, 7, 990), strict=True):
            np.testing.assert_array_equal(answer, x[start:])
        assert sorted(completed) == [10, 993, 1000]
        return [run.rows for run in bench.runs]

    rows = play(bundles["identity"], story, QueueLimits(queue_rows=4000, max_batch_rows=32), instances=2)
    assert max(rows) <= 32
    assert sum(rows) == 2003


def test_the_parts_of_a_request_that_fails_leave_the_queue(bundles: Bundles):
    async def story(bench: Bench) -> None:
        x = np.zeros((64, 1), np.int64)
        x[3] = 77
        with pytest.raises(ModelFailed):
            await bench.run(x)
        assert bench.scheduler.queued_rows == 0
        assert (await bench.run([[4]])).item() == 40.0

    play(bundles["lookup"], story, QueueLimits(queue_rows=100, max_batch_rows=4))


def test_a_request_of_which_not_all_parts_fit_leaves_none_in_the_queue(bundles: Bundles):
    async def story(bench: Bench) -> None:
        with pytest.raises(QueueFull, match="0 of 8 rows wait, 9 more do not fit"):
            await bench.run(np.zeros((9, 4), np.float32))
        with pytest.raises(QueueFull, match="0 of 0 MiB wait, 5 more do not fit"):
            await bench.run(np.zeros((5, 4), np.float32))
        assert bench.scheduler.queued_rows == 0

    limits = QueueLimits(queue_rows=8, max_batch_rows=2, queue_bytes=79)
    play(bundles["identity"], story, limits)


def test_batches_are_filled_up_to_the_sizes_that_are_allowed(bundles: Bundles):
    async def story(bench: Bench) -> None:
        x = np.arange(80, dtype=np.float32).reshape(20, 4)
        np.testing.assert_array_equal(await bench.run(x[:3]), x[:3])
        np.testing.assert_array_equal(await bench.run(x), x)
        assert [run.rows for run in bench.runs] == [3, 8, 8, 4]

    sizes: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        run = OnnxRuntime.run
        patch.setattr(OnnxRuntime, "run", lambda self, inputs: sizes.append(len(inputs["x"])) or run(self, inputs))
        play(bundles["identity"], story, QueueLimits(queue_rows=100, max_batch_rows=32, batch_sizes=(8, 4)))
    assert sizes[-4:] == [4, 8, 8, 4]


def test_a_quick_model_is_filled_up_as_well(bundles: Bundles):
    async def story(bench: Bench) -> None:
        x = np.arange(12, dtype=np.float32).reshape(3, 4)
        np.testing.assert_array_equal(await bench.run(x), x)

    limits = QueueLimits(queue_rows=100, max_batch_rows=32, batch_sizes=(4,))
    play(bundles["identity"], story, limits, is_quick=True)


def test_the_urgent_go_first(bundles: Bundles):
    async def story(bench: Bench) -> list[int]:
        busy = asyncio.ensure_future(bench.run(slow_rows(200)))
        await asyncio.sleep(0.01)
        order: list[int] = []

        async def ask(priority: int) -> None:
            await bench.run(slow_rows(5), priority=priority, complete=lambda _: order.append(priority))

        await asyncio.gather(busy, *(ask(priority) for priority in (3, 2, 1, 7)))
        return order

    assert play(bundles["slow"], story, QueueLimits(queue_rows=1024, max_batch_rows=200)) == [1, 2, 3, 7]


def test_closing_runs_what_waits(bundles: Bundles):
    async def story(bench: Bench) -> list[Any]:
        tasks = [asyncio.ensure_future(bench.run(slow_rows(30))) for _ in range(3)]
        await asyncio.sleep(0.01)
        await bench.scheduler.close(30)
        return await asyncio.gather(*tasks)

    assert [answer.shape for answer in play(bundles["slow"], story)] == [(30, 1024)] * 3


def test_instances_run_at_once(bundles: Bundles):
    async def story(bench: Bench) -> float:
        await bench.run(slow_rows())
        started = time.perf_counter()
        await asyncio.gather(bench.run(slow_rows(64)), bench.run(slow_rows(64)))
        wall = time.perf_counter() - started
        return sum(run.seconds for run in bench.runs[1:]) / wall

    limits = QueueLimits(queue_rows=1000, max_batch_rows=64)
    assert play(bundles["slow"], story, limits, instances=2) > 1.2


def test_a_model_with_a_fixed_batch_runs_each_request_alone(bundles: Bundles):
    async def story(bench: Bench) -> list[int]:
        await asyncio.gather(*(bench.run(np.zeros((2, 4), np.float32)) for _ in range(5)))
        return [run.rows for run in bench.runs]

    limits = QueueLimits(queue_rows=1000, max_batch_rows=64, window_s=0.05)
    assert play(bundles["fixed"], story, limits) == [2] * 5


def test_a_quick_model_runs_on_the_event_loop_and_its_poison_harms_only_its_sender(bundles: Bundles):
    threads: list[int] = []

    def complete(outputs: Tensors) -> float:
        threads.append(threading.get_ident())
        return float(outputs["y"].item())

    async def story(bench: Bench) -> list[Any]:
        return await outcomes(*(bench.run([[x]], complete=complete) for x in (1, 99, 2)))

    first, poisoned, last = play(bundles["lookup"], story, is_quick=True)
    assert (first, last) == (10.0, 20.0)
    assert isinstance(poisoned, ModelFailed)
    assert set(threads) == {threading.get_ident()}


def test_a_large_request_of_a_quick_model_runs_in_a_thread(bundles: Bundles):
    async def story(bench: Bench) -> Any:  # noqa: ANN401
        return await bench.run(np.ones((33, 1), np.int64), complete=lambda _: threading.get_ident())

    assert play(bundles["lookup"], story, is_quick=True) != threading.get_ident()


def test_a_model_that_is_not_as_quick_as_it_was_leaves_the_event_loop(bundles: Bundles):
    async def story(bench: Bench) -> list[int]:
        return [await bench.run(slow_rows(32), complete=lambda _: threading.get_ident()) for _ in range(12)]

    here, there = threading.get_ident(), play(bundles["slow"], story, is_quick=True)
    assert there[:10] == [here] * 10
    assert here not in there[10:]
