import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator

import numpy as np
import pytest

from kedge_bundle.signature import Tensors
from kedge_server.core_shares import CoreShares
from kedge_server.job_queue import JobQueue, QueueLimits
from kedge_server.jobs import USUAL_PRIORITY, Job

Loop = asyncio.AbstractEventLoop
SOON_S = 0.05


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def job(
    loop: Loop, rows: int = 1, width: int = 4, deadline: float | None = None, priority: int = USUAL_PRIORITY
) -> Job[Tensors]:
    inputs: Tensors = {"x": np.zeros((rows, width))}
    return Job(inputs, rows, lambda outputs: outputs, loop.create_future(), deadline, priority)


def queue(queue_rows: int = 100, max_batch_rows: int = 8, **limits: object) -> JobQueue:
    return JobQueue(QueueLimits(queue_rows, max_batch_rows, **limits))  # type: ignore[arg-type]


def put(waiting: JobQueue, *jobs: Job[Tensors]) -> None:
    assert [waiting.put(one) for one in jobs] == [True] * len(jobs)


def test_what_waits_becomes_one_batch_in_order(loop: Loop):
    waiting, jobs = queue(), [job(loop, rows) for rows in (1, 2, 3)]
    put(waiting, *jobs)
    assert waiting.rows == 6
    assert waiting.take() == jobs
    assert waiting.rows == 0


def test_a_batch_ends_before_it_grows_too_large(loop: Loop):
    waiting, jobs = queue(max_batch_rows=4), [job(loop, rows) for rows in (3, 2, 2)]
    put(waiting, *jobs)
    assert waiting.take() == jobs[:1]
    assert waiting.take() == jobs[1:]


def test_a_job_larger_than_a_batch_runs_alone(loop: Loop):
    waiting, jobs = queue(max_batch_rows=4), [job(loop, 9), job(loop, 1)]
    put(waiting, *jobs)
    assert waiting.take() == jobs[:1]
    assert waiting.take() == jobs[1:]


def test_only_jobs_of_one_trailing_shape_meet_and_the_others_keep_their_place(loop: Loop):
    waiting = queue()
    narrow, wide, narrow2, wide2 = job(loop), job(loop, width=5), job(loop), job(loop, width=5)
    put(waiting, narrow, wide, narrow2, wide2)
    assert waiting.take() == [narrow, narrow2]
    assert waiting.take() == [wide, wide2]


def test_the_more_urgent_go_first_and_no_level_is_remembered(loop: Loop):
    waiting = queue(max_batch_rows=2)
    late, usual, urgent = (job(loop, priority=priority) for priority in (9, USUAL_PRIORITY, 1))
    put(waiting, late, usual, urgent)
    assert [waiting.rows_before(priority) for priority in (1, 2, 5, 9)] == [1, 2, 2, 3]
    assert waiting.take() == [urgent, usual]
    assert waiting.take() == [late]
    assert not waiting._waiting


def test_an_urgent_job_of_another_shape_keeps_its_place(loop: Loop):
    waiting = queue()
    urgent, wide, usual = job(loop, priority=1), job(loop, priority=1, width=5), job(loop)
    put(waiting, urgent, wide, usual)
    assert waiting.take() == [urgent, usual]
    assert waiting.take() == [wide]


def test_jobs_of_a_model_that_does_not_answer_row_by_row_never_meet(loop: Loop):
    waiting, jobs = queue(is_joinable=False, window_s=1.0), [job(loop), job(loop)]
    put(waiting, *jobs)
    assert waiting.take() == jobs[:1]
    assert waiting.take() == jobs[1:]


def test_the_queue_holds_so_many_rows_and_not_one_more(loop: Loop):
    waiting = queue(queue_rows=4)
    put(waiting, job(loop, 3))
    assert not waiting.put(job(loop, 2))
    assert waiting.rows == 3
    put(waiting, job(loop, 1))


def test_a_discarded_job_gives_its_rows_back_at_once(loop: Loop):
    waiting, gone, kept = queue(queue_rows=2), job(loop), job(loop)
    put(waiting, gone, kept)
    waiting.discard(gone)
    assert waiting.rows == 1
    assert waiting.take() == [kept]


def test_discarding_a_job_that_an_instance_has_changes_nothing(loop: Loop):
    waiting, taken = queue(), job(loop)
    put(waiting, taken)
    waiting.take()
    waiting.discard(taken)
    assert waiting.rows == 0


def test_cancelled_and_expired_jobs_are_dropped_before_they_run(loop: Loop):
    waiting = queue()
    cancelled, late, wanted = job(loop), job(loop, deadline=time.monotonic() - 1), job(loop)
    cancelled.future.cancel()
    put(waiting, cancelled, late, wanted)
    assert waiting.take() == [wanted]
    assert waiting.rows == 0


def test_taking_waits_for_the_first_job(loop: Loop):
    waiting, first = queue(), job(loop)
    threading.Timer(SOON_S, waiting.put, [first]).start()
    assert waiting.take() == [first]


def test_with_a_window_a_batch_waits_for_those_that_come_in_it(loop: Loop):
    waiting, jobs = queue(window_s=5.0, max_batch_rows=2), [job(loop), job(loop)]
    put(waiting, jobs[0])
    threading.Timer(SOON_S, waiting.put, [jobs[1]]).start()
    assert waiting.take() == jobs  # full before the window ends


def test_the_window_ends_even_when_nobody_comes(loop: Loop):
    waiting, first = queue(window_s=SOON_S), job(loop)
    put(waiting, first)
    started = time.perf_counter()
    assert waiting.take() == [first]
    assert SOON_S * 0.5 < time.perf_counter() - started < 5


@pytest.mark.parametrize("second", [{"rows": 2}, {"width": 5}])
def test_a_job_that_does_not_fit_into_the_window_becomes_the_next_batch(loop: Loop, second: dict[str, int]):
    waiting = queue(window_s=0.2, max_batch_rows=4)
    jobs = [job(loop, rows=3), job(loop, **second)]
    put(waiting, jobs[0])
    threading.Timer(SOON_S, waiting.put, [jobs[1]]).start()
    assert waiting.take() == jobs[:1]
    assert waiting.take() == jobs[1:]


def test_what_waits_is_shared_with_an_instance_that_is_idle(loop: Loop):
    waiting = queue(queue_rows=100, max_batch_rows=100)
    others: list[Job[object]] = []
    other = threading.Thread(target=lambda: others.extend(waiting.take() or []))
    other.start()
    while not waiting._sleepers:
        time.sleep(0.001)
    jobs = [job(loop) for _ in range(8)]
    with waiting._lock:  # eight that come before the sleeper can wake up
        waiting._waiting[USUAL_PRIORITY] = deque(jobs)
        waiting._rows = len(jobs)
    assert waiting.take() == jobs[:4]
    waiting.close()
    other.join(10)
    assert others == jobs[4:]


def test_a_batch_without_room_for_the_next_job_does_not_wait_for_others(loop: Loop):
    waiting, jobs = queue(window_s=60.0, max_batch_rows=4), [job(loop, rows=3), job(loop, rows=3)]
    for one in jobs:
        assert waiting.put(one)
    started = time.monotonic()
    assert waiting.take() == jobs[:1]
    assert time.monotonic() - started < 30


def test_a_job_of_another_shape_ends_no_batch_however_large_it_is(loop: Loop):
    waiting, jobs = queue(window_s=60.0, max_batch_rows=4), [job(loop, rows=3), job(loop, rows=4, width=5), job(loop)]
    for one in jobs:
        assert waiting.put(one)
    assert waiting.take() == [jobs[0], jobs[2]]
    assert waiting.take() == jobs[1:2]


def test_a_job_that_waited_longer_than_the_window_waits_no_more(loop: Loop):
    waiting, first = queue(window_s=2.0), job(loop)
    put(waiting, first)
    first.queued_at -= 2.0
    started = time.perf_counter()
    assert waiting.take() == [first]
    assert time.perf_counter() - started < 1.0


def test_what_is_cancelled_while_a_batch_waits_for_more_is_not_in_it(loop: Loop):
    waiting, jobs = queue(window_s=60.0, max_batch_rows=4), [job(loop) for _ in range(4)]
    put(waiting, *jobs[:3])
    taken: list[Job[object]] = []
    instance = threading.Thread(target=lambda: taken.extend(waiting.take() or []))
    instance.start()
    while waiting.rows:
        time.sleep(0.001)
    assert jobs[0].future is not None
    jobs[0].future.cancel()
    put(waiting, jobs[3])
    instance.join(10)
    assert taken == jobs[1:]


def test_a_batch_that_waits_for_a_core_takes_all_that_comes_meanwhile(loop: Loop):
    cores = CoreShares(1)
    own, other = cores.share(1), cores.share(1)
    waiting, jobs = JobQueue(QueueLimits(100, 8), own), [job(loop) for _ in range(5)]
    put(waiting, jobs[0])
    assert waiting.take() == jobs[:1]
    assert other.try_begin()
    taken: list[Job[object]] = []
    instance = threading.Thread(target=lambda: taken.extend(waiting.take() or []))
    instance.start()
    put(waiting, *jobs[1:3])
    time.sleep(SOON_S)
    put(waiting, *jobs[3:])
    assert waiting.rows == 4
    other.end()
    instance.join(10)
    assert taken == jobs[1:]
    waiting.end()
    waiting.end()
    assert own.used == other.used == 0


def test_a_closed_queue_hands_out_what_waits_and_then_ends_every_instance(loop: Loop):
    waiting, last = queue(), job(loop)
    put(waiting, last)
    waiting.close()
    assert waiting.take() == [last]
    assert waiting.take() is None
    assert waiting.take() is None


def test_many_threads_take_every_job_exactly_once(loop: Loop):
    waiting = queue(queue_rows=10_000, max_batch_rows=7)
    taken: list[list[Job[object]]] = [[] for _ in range(4)]

    def work(mine: list[Job[object]]) -> None:
        while (batch := waiting.take()) is not None:
            mine += batch

    threads = [threading.Thread(target=work, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    jobs = [job(loop, rows=1 + i % 3, width=1 + i % 2) for i in range(2000)]
    put(waiting, *jobs)
    waiting.close()
    for thread in threads:
        thread.join(30)
    found = [id(one) for mine in taken for one in mine]
    assert sorted(found) == sorted(id(one) for one in jobs)
    assert waiting.rows == 0
