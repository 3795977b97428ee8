"""Instances of one model: threads that take batches, run them, and hand each job its own rows.

A job knows the future of its request: no table of ids joins results and callers. Knows neither wire nor metrics.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from kedge_bundle.errors import DeviceLost, RunFailed
from kedge_bundle.runtimes.base import Runtime
from kedge_server.batches import batched, fitting, note_times, run_joined, split
from kedge_server.core_shares import CoreShare
from kedge_server.errors import DeadlinePassed, ModelFailed, NotReady, QueueFull
from kedge_server.incidents import incident
from kedge_server.job_queue import JobQueue, QueueLimits
from kedge_server.jobs import Job
from kedge_server.pace import Pace
from kedge_server.precedence import go_behind

T = TypeVar("T")
_log = structlog.get_logger("kedge.scheduler")

THREAD_PREFIX = "kedge "
_SLOW_S = 2e-3
_SLOW_RUNS = 10
"""So many runs of this length in a row are no hiccup of the machine: the model is not as quick as it was at load."""
_SURELY = 2.0
"""What a row takes is known only roughly: refused is what would be late at twice the speed."""
_RETRY_AFTER_S = (0.01, 30.0)


@dataclass(slots=True)
class Run:
    """One run of the model: what `on_run` is told. `device_error`, where there is one: the device is lost, and why."""

    rows: int
    seconds: float
    is_ok: bool
    device_error: str = ""


@dataclass(slots=True)
class _Finished:
    """What an instance hands back: every job of a batch with its result or its error."""

    runs: list[Run] = field(default_factory=list)
    results: list[tuple[Job[object], object]] = field(default_factory=list)
    errors: list[tuple[Job[object], Exception]] = field(default_factory=list)


class Scheduler:
    """The queue and the instances of one model version.

    Args:
        name: for threads and the log: `model/version`.
        runtimes: one per instance; a runtime that is safe to share may stand there several times.
        limits: of the queue and of a batch.
        on_run: is told of every run, on the event loop's thread.
        is_quick: whether a batch is done in less time than it takes to hand it to a thread; such jobs run on the
            event loop. Only for runtimes that are safe to share.
        nice: how far the instances stand behind other threads; see `precedence.py`.
        share: of the cores that the instances compute on; None: nobody else wants them.
    """

    def __init__(  # noqa: PLR0913 (what instances are, by name)
        self,
        name: str,
        runtimes: Sequence[Runtime],
        limits: QueueLimits,
        on_run: Callable[[Run], None],
        *,
        is_quick: bool = False,
        nice: int = 0,
        share: CoreShare | None = None,
    ) -> None:
        self._name = name
        self._limits = fitting(limits, runtimes[0])
        self._on_run = on_run
        self._nice = nice
        self._has_given_up = False
        self._queue = JobQueue(self._limits, share)
        self._runtimes = runtimes
        self._is_quick = is_quick and not limits.window_s
        self._slow_runs = 0
        self._here: list[Job[object]] = []
        self._pace = Pace(len(runtimes))
        self._loop = asyncio.get_running_loop()
        # Daemons: a run that never ends must not keep a process alive that was told twice to stop.
        self._threads = [
            threading.Thread(target=self._serve, args=(runtime,), name=f"{THREAD_PREFIX}{name} #{i}", daemon=True)
            for i, runtime in enumerate(runtimes)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def queued_rows(self) -> int:
        """Rows that wait for an instance."""
        return self._queue.rows

    @property
    def is_quick(self) -> bool:
        """Whether jobs run on the event loop."""
        return self._is_quick

    @property
    def max_batch_rows(self) -> int:
        """Rows of a batch."""
        return self._limits.max_batch_rows

    @property
    def instances(self) -> int:
        """Batches that can run at once."""
        return len(self._threads)

    async def run(self, job: Job[T]) -> T:
        """Queue a job and wait for its result.

        Raises:
            DeadlinePassed: before, while or after it waited; at the deadline, not after the run that is under way. Also
                at once, where more waits before it than can be run until then.
            QueueFull: its rows do not fit into the queue.
            ModelFailed: the model raised, or answered with another number of rows.
            NotReady: the device is lost.
            Exception: whatever `job.complete` raises.
        """
        remaining = None if job.deadline is None else job.deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            raise DeadlinePassed("the deadline had passed before the request was queued")
        if self._has_given_up:
            raise self._not_ready()
        if self._is_quick and job.rows <= self._limits.max_batch_rows:
            return await self._soon(job)
        if remaining is not None:
            self._check_can_be_met(remaining, job.priority)
        is_one = not self._limits.is_joinable or job.rows <= self._limits.max_batch_rows
        jobs = [job] if is_one else split(job, self._limits.max_batch_rows)
        future, timer = self._enqueue(jobs, remaining)
        try:
            return await future
        finally:
            self._leave(jobs, timer)
            if not is_one:
                note_times(job, jobs)

    def _enqueue(
        self, jobs: Sequence[Job[T]], remaining: float | None
    ) -> tuple[asyncio.Future[T], asyncio.TimerHandle | None]:
        """Queue the jobs of one request, all or none; what to wait for, and what ends the wait at the deadline."""
        future: asyncio.Future[T] = self._loop.create_future()
        for job in jobs:
            job.future = future
        if not self._queue.put(*jobs):
            raise self._queue_full(sum(job.rows for job in jobs))
        return future, None if remaining is None else self._loop.call_later(remaining, self._expire, jobs)

    def _leave(self, jobs: Sequence[Job[T]], timer: asyncio.TimerHandle | None) -> None:
        """The wait is over, one way or another."""
        if timer is not None:
            timer.cancel()
        for job in jobs:
            if not job.is_taken:
                self._queue.discard(job)

    async def close(self, timeout_s: float) -> None:
        """Run what waits, end the instances and free their runtimes; a run that takes longer is left alone."""
        self._run_here()
        self._queue.close()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, end - time.monotonic()))
        if not self._has_given_up and not any(thread.is_alive() for thread in self._threads):
            for runtime in dict.fromkeys(self._runtimes):
                runtime.close()

    def give_up(self) -> None:
        """Run nothing any more, and free nothing: the device is lost. What waits, and what comes, is NotReady."""
        self._has_given_up = True

    def _soon(self, job: Job[T]) -> asyncio.Future[T]:
        """Run a job on the event loop, with those of all callers whose turn comes before the loop looks out again."""
        job.queued_at = time.perf_counter()
        job.is_taken = True
        future: asyncio.Future[T] = self._loop.create_future()
        job.future = future
        self._here.append(job)  # type: ignore[arg-type]  # nobody looks at a result
        if len(self._here) == 1:
            self._loop.call_soon(self._run_here)
        return future

    def _run_here(self) -> None:
        """Run what has gathered, and stop doing so here where it keeps holding the loop up."""
        here, self._here = self._here, []
        jobs: list[Job[object]] = []
        for job in here:
            if job.is_wanted:
                jobs.append(job)
            else:  # cancelled, or late; no timer would say so
                job.fail(DeadlinePassed("the deadline passed before the model ran"))
        for batch in batched(jobs, self._limits):
            finished = _Finished()
            self._run(self._runtimes[0], batch, finished)
            self._deliver(finished)
            is_slow = any(run.seconds > _SLOW_S for run in finished.runs)
            self._slow_runs = self._slow_runs + 1 if is_slow else 0
            if self._slow_runs == _SLOW_RUNS:
                self._is_quick = False
                _log.warning("left_the_event_loop", model=self._name, seconds=finished.runs[0].seconds)

    def _check_can_be_met(self, remaining: float, priority: int) -> None:
        """Refuse a request at once that would still wait at its deadline."""
        before = self._queue.rows_before(priority)
        wait = self._pace.seconds(before)
        if self._pace.is_known and wait > _SURELY * remaining:
            raise DeadlinePassed(
                f"the deadline is in {remaining * 1000:.0f} ms, and {before} rows wait that take {wait * 1000:.0f} ms"
            )

    def _expire(self, jobs: Sequence[Job[Any]]) -> None:
        where = "while the model ran" if any(job.is_taken for job in jobs) else "in the queue"
        jobs[0].fail(DeadlinePassed(f"the deadline passed {where}"))

    def _queue_full(self, rows: int) -> QueueFull:
        waiting = self._queue.rows
        shortest, longest = _RETRY_AFTER_S
        held = f"{waiting} of {self._limits.queue_rows} rows wait"
        if waiting + rows <= self._limits.queue_rows:
            held = f"{self._queue.nbytes >> 20} of {self._limits.queue_bytes >> 20} MiB wait"
        return QueueFull(
            f"the queue of '{self._name}' is full: {held}, {rows} more do not fit; retry later",
            retry_after_s=min(max(self._pace.seconds(waiting), shortest), longest),
        )

    def _serve(self, runtime: Runtime) -> None:
        """An instance's life."""
        go_behind(self._nice)
        while (batch := self._queue.take()) is not None:
            finished = _Finished()
            self._run(runtime, batch, finished)
            self._queue.end()
            if self._loop.is_closed():  # the process ends; nobody is left to be told
                return
            self._loop.call_soon_threadsafe(self._deliver, finished)
            del batch, finished  # while it waits for the next, an instance keeps nobody's inputs and answers alive

    def _run(self, runtime: Runtime, jobs: list[Job[object]], finished: _Finished) -> None:
        """Run jobs together; when that fails, each alone, so that a poisonous one harms only itself."""
        if self._has_given_up:
            finished.errors.extend((job, self._not_ready()) for job in jobs)
            return
        started = time.perf_counter()
        rows = sum(job.rows for job in jobs)
        for job in jobs:
            job.started_at = started
        try:
            answers = run_joined(runtime, jobs, rows, self._limits.batch_sizes)
        except Exception as error:  # noqa: BLE001 (an instance outlives whatever a model does)
            device_error = str(error) if isinstance(error, DeviceLost) else ""
            finished.runs.append(Run(rows, time.perf_counter() - started, is_ok=False, device_error=device_error))
            if device_error:
                self.give_up()
                finished.errors.extend((job, self._failed(error)) for job in jobs)
                return
            if len(jobs) == 1:
                finished.errors.append((jobs[0], self._failed(error)))
                return
            _log.warning("batch_failed", model=self._name, jobs=len(jobs), rows=rows, error=str(error))
            for job in jobs:
                if job.is_wanted:
                    self._run(runtime, [job], finished)
                else:
                    finished.errors.append((job, DeadlinePassed("the deadline passed while the model ran")))
            return
        ran = time.perf_counter()
        finished.runs.append(Run(rows, ran - started, is_ok=True))
        for job, outputs in zip(jobs, answers, strict=True):
            job.ran_at = ran
            try:
                finished.results.append((job, job.complete(outputs)))
            except Exception as error:  # noqa: BLE001 (it is the outcome of this job, raised again where it is awaited)
                finished.errors.append((job, error))
            job.completed_at = time.perf_counter()

    def _not_ready(self) -> NotReady:
        return NotReady(f"the model '{self._name}' is not ready: its device is lost; ask another server")

    def _failed(self, error: Exception) -> ModelFailed:
        told = f"{type(error).__name__}: {error}" if isinstance(error, RunFailed) else error
        return incident(_log, "run_failed", f"the model '{self._name}' failed", told, model=self._name)

    def _deliver(self, finished: _Finished) -> None:
        """Finish the futures of a batch, on the event loop's thread; those that were cancelled stay so."""
        for run in finished.runs:
            self._pace.note(run.rows, run.seconds)
            self._on_run(run)
        for job, result in finished.results:
            job.finish(result)
        for job, error in finished.errors:
            job.fail(error)
