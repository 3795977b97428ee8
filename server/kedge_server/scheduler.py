"""Instances of one model: threads that take batches, run them, and hand each job its own rows.

A job owns its future: no table of ids joins results and callers. Knows neither wire nor metrics.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import structlog

from kedge_bundle.errors import RunFailed
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Signature, Tensors
from kedge_server.errors import DeadlinePassed, ModelFailed, QueueFull
from kedge_server.jobs import Job, JobQueue, QueueLimits

T = TypeVar("T")
_log = structlog.get_logger("kedge.scheduler")

THREAD_PREFIX = "kedge "
_SMOOTHING = 0.1
_SLOW_S = 2e-3
_SLOW_RUNS = 10
"""So many runs of this length in a row are no hiccup of the machine: the model is not as quick as it was at load."""
_RETRY_AFTER_S = (0.01, 30.0)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the model: what `on_run` is told."""

    rows: int
    seconds: float
    is_ok: bool


@dataclass(slots=True)
class _Finished:
    """What an instance hands back: every job of a batch with its result or its error."""

    runs: list[Run] = field(default_factory=list)
    results: list[tuple[Job[object], object]] = field(default_factory=list)
    errors: list[tuple[Job[object], Exception]] = field(default_factory=list)


def is_joinable(signature: Signature) -> bool:
    """Whether jobs of this model can share a run: every input and output has a free batch axis."""
    return all(spec.shape and spec.shape[0] is None for spec in (*signature.inputs, *signature.outputs))


class Scheduler:
    """The queue and the instances of one model version.

    Args:
        name: for threads and the log: `model/version`.
        runtimes: one per instance; a runtime that is safe to share may stand there several times.
        limits: of the queue and of a batch.
        on_run: is told of every run, on the event loop's thread.
        is_quick: whether a batch is done in less time than it takes to hand it to a thread; such jobs run on the
            event loop. Only for runtimes that are safe to share.
    """

    def __init__(
        self,
        name: str,
        runtimes: Sequence[Runtime],
        limits: QueueLimits,
        on_run: Callable[[Run], None],
        *,
        is_quick: bool = False,
    ) -> None:
        self._name = name
        self._limits = replace(limits, is_joinable=limits.is_joinable and is_joinable(runtimes[0].signature))
        self._on_run = on_run
        self._queue = JobQueue(self._limits)
        self._runtimes = runtimes
        self._is_quick = is_quick and not limits.window_s
        self._slow_runs = 0
        self._seconds_per_row = 0.0
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
    def instances(self) -> int:
        """Batches that can run at once."""
        return len(self._threads)

    async def run(self, job: Job[T]) -> T:
        """Queue a job and wait for its result.

        Raises:
            DeadlinePassed: before, while or after it waited; at the deadline, not after the run that is under way.
            QueueFull: its rows do not fit into the queue.
            ModelFailed: the model raised, or answered with another number of rows.
            Exception: whatever `job.complete` raises.
        """
        remaining = None if job.deadline is None else job.deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            raise DeadlinePassed("the deadline had passed before the request was queued")
        if self._is_quick and job.rows <= self._limits.max_batch_rows:
            self._run_here(job)
            return await job.future
        timer = None if remaining is None else self._loop.call_later(remaining, self._expire, job)
        try:
            if not self._queue.put(job):
                raise self._queue_full(job)
            return await job.future
        finally:
            if timer is not None:
                timer.cancel()
            if job.queued_at and not job.is_taken:
                self._queue.discard(job)

    async def close(self, timeout_s: float) -> None:
        """Run what waits, end the instances and free their runtimes; a run that takes longer is left alone."""
        self._queue.close()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, end - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            for runtime in dict.fromkeys(self._runtimes):
                runtime.close()

    def _run_here(self, job: Job[T]) -> None:
        """Run a job on the event loop, and stop doing so where it keeps holding the loop up."""
        job.queued_at = time.perf_counter()
        job.is_taken = True
        finished = _Finished()
        self._run(self._runtimes[0], [job], finished)  # type: ignore[list-item]  # it never looks at a result
        self._deliver(finished)
        self._slow_runs = self._slow_runs + 1 if finished.runs[0].seconds > _SLOW_S else 0
        if self._slow_runs == _SLOW_RUNS:
            self._is_quick = False
            _log.warning("left_the_event_loop", model=self._name, seconds=finished.runs[0].seconds)

    def _expire(self, job: Job[T]) -> None:
        if not job.future.done():
            where = "while the model ran" if job.is_taken else "in the queue"
            job.future.set_exception(DeadlinePassed(f"the deadline passed {where}"))

    def _queue_full(self, job: Job[T]) -> QueueFull:
        waiting = self._queue.rows
        shortest, longest = _RETRY_AFTER_S
        estimate = waiting * self._seconds_per_row / self.instances
        return QueueFull(
            f"the queue of '{self._name}' is full: {waiting} of {self._limits.queue_rows} rows wait, "
            f"{job.rows} more do not fit; retry later",
            retry_after_s=min(max(estimate, shortest), longest),
        )

    def _serve(self, runtime: Runtime) -> None:
        """An instance's life."""
        while (batch := self._queue.take()) is not None:
            finished = _Finished()
            self._run(runtime, batch, finished)
            if self._loop.is_closed():  # the process ends; nobody is left to be told
                return
            self._loop.call_soon_threadsafe(self._deliver, finished)

    def _run(self, runtime: Runtime, jobs: list[Job[object]], finished: _Finished) -> None:
        """Run jobs together; when that fails, each alone, so that a poisonous one harms only itself."""
        started = time.perf_counter()
        rows = sum(job.rows for job in jobs)
        for job in jobs:
            job.started_at = started
        try:
            answers = _run_joined(runtime, jobs, rows)
        except Exception as error:  # noqa: BLE001 (an instance outlives whatever a model does)
            finished.runs.append(Run(rows, time.perf_counter() - started, is_ok=False))
            if len(jobs) == 1:
                finished.errors.append((jobs[0], self._failed(error)))
                return
            _log.warning("batch_failed", model=self._name, jobs=len(jobs), rows=rows, error=str(error))
            for job in jobs:
                if job.is_wanted:
                    self._run(runtime, [job], finished)
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

    def _failed(self, error: Exception) -> ModelFailed:
        incident = secrets.token_hex(6)
        _log.error(
            "run_failed",
            model=self._name,
            incident=incident,
            error=f"{type(error).__name__}: {error}",
            exc_info=None if isinstance(error, RunFailed) else error,
        )
        return ModelFailed(f"the model '{self._name}' failed", incident)

    def _deliver(self, finished: _Finished) -> None:
        """Finish the futures of a batch, on the event loop's thread; those that were cancelled stay so."""
        for run in finished.runs:
            seconds_per_row = run.seconds / run.rows
            change = seconds_per_row - self._seconds_per_row
            self._seconds_per_row += change * (_SMOOTHING if self._seconds_per_row else 1.0)
            self._on_run(run)
        for job, result in finished.results:
            if not job.future.done():
                job.future.set_result(result)
        for job, error in finished.errors:
            if not job.future.done():
                job.future.set_exception(error)


def _run_joined(runtime: Runtime, jobs: list[Job[object]], rows: int) -> list[Tensors]:
    """Run the rows of all jobs at once and give each job its own back, in order."""
    if len(jobs) == 1:
        return [runtime.run(jobs[0].inputs)]
    joined = {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}
    outputs = runtime.run(joined)
    for name, array in outputs.items():
        if array.shape[0] != rows:
            raise RunFailed(f"the output '{name}' came with {array.shape[0]} rows for {rows}")
    answers: list[Tensors] = []
    start = 0
    for job in jobs:
        answers.append({name: array[start : start + job.rows] for name, array in outputs.items()})
        start += job.rows
    return answers
