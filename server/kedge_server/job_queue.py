"""The bounded queue in which jobs wait for an instance. Knows neither runtimes nor metrics.

Of those that wait, the more urgent go first, and among equals the older.

Jobs are put and discarded on the event loop's thread and taken by the instances' threads.
"""

import queue
import threading
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from kedge_server.core_shares import CoreShare, all_cores
from kedge_server.jobs import Job

T = TypeVar("T")


@dataclass(frozen=True)
class QueueLimits:
    """How much may wait, and what may meet in one batch.

    Attributes:
        queue_rows: rows that may wait.
        max_batch_rows: rows of a batch; a larger job runs as a batch of its own, unless it was split.
        window_s: how long after its first job was queued a batch waits for more.
        is_joinable: whether the model answers row by row, so that jobs can share a run.
        queue_bytes: what the inputs of all that waits may hold in memory.
        batch_sizes: the numbers of rows that the model is run with, ascending: other batches are filled up to the next
            one. Empty: any.
    """

    queue_rows: int
    max_batch_rows: int
    window_s: float = 0.0
    is_joinable: bool = True
    queue_bytes: int = 1 << 30
    batch_sizes: tuple[int, ...] = ()


class JobQueue:
    """A bounded queue that hands out batches: the first job and those that fit to it.

    Args:
        limits: how much may wait, and what may meet.
        share: of the cores that batches are run on; None: nobody else wants them.
    """

    def __init__(self, limits: QueueLimits, share: CoreShare | None = None) -> None:
        self._limits = limits
        self._share = all_cores() if share is None else share
        self._waiting: dict[int, deque[Job[object]]] = {}
        self._rows = 0
        self._bytes = 0
        self._is_closed = False
        self._lock = threading.Lock()
        # Instances inside `take`, those of them that sleep, and a token for each sleeper that is to wake up.
        # Sleeping on a SimpleQueue costs half of what a Condition costs.
        self._idle = 0
        self._sleepers = 0
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        # With a window, one instance at a time collects; otherwise each idle one would keep a part of the batch.
        self._has_window = limits.window_s > 0 and limits.is_joinable
        self._collecting: AbstractContextManager[object] = threading.Lock() if self._has_window else nullcontext()

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    @property
    def nbytes(self) -> int:
        """What the inputs of all that waits hold in memory."""
        return self._bytes

    def put(self, *jobs: Job[T]) -> bool:
        """Queue jobs; False, and none is queued, when their rows or their bytes do not fit."""
        rows = size = 0
        for job in jobs:
            arrays = job.inputs.values()
            job.trailing_shapes = tuple([array.shape[1:] for array in arrays])
            job.nbytes = job.text_bytes + sum([array.nbytes for array in arrays])
            rows += job.rows
            size += job.nbytes
        with self._lock:
            if self._rows + rows > self._limits.queue_rows or self._bytes + size > self._limits.queue_bytes:
                return False
            self._rows += rows
            self._bytes += size
            for job in jobs:
                job.queued_at = time.perf_counter()
                level = self._waiting.get(job.priority)
                if level is None:
                    level = self._waiting[job.priority] = deque()
                level.append(job)  # type: ignore[arg-type]  # the queue never looks at a result
                self._wake_one()
        return True

    def rows_before(self, priority: int) -> int:
        """Rows that wait and go before a job of this priority that comes now."""
        with self._lock:
            if self._waiting.keys() <= {priority}:
                return self._rows
            return sum(job.rows for level, jobs in self._waiting.items() if level <= priority for job in jobs)

    def discard(self, job: Job[T]) -> None:
        """Take a job out that nobody waits for any more; nothing happens when an instance has it already."""
        with self._lock:
            if not job.is_taken:
                self._waiting[job.priority].remove(job)  # type: ignore[arg-type]
                self._mark_taken(job)
                self._drop_empty_levels()

    def take(self) -> list[Job[object]] | None:
        """Wait for the next batch, at least one wanted job, and for a core; None once the queue is closed and empty.

        Whoever gets a batch calls `end` when it has run.
        """
        with self._collecting:
            batch: list[Job[object]] = []
            with self._lock:
                self._idle += 1
            while not batch and self._wait():
                if self._has_window:
                    self._collect(batch)
                self._begin()  # before the batch is complete: what comes while it waits for a core is part of it
                with self._lock:
                    batch = [job for job in batch if job.is_wanted]
                    self._fill(batch, self._limits.max_batch_rows if self._has_window else self._fair_share())
                    self._idle -= bool(batch)
                if not batch:
                    self.end()
            return batch or None

    def end(self) -> None:
        """A batch has run: its core is free."""
        self._share.end()

    def close(self) -> None:
        """Let the instances finish what waits, then answer None."""
        with self._lock:
            self._is_closed = True
            while self._sleepers:
                self._wake_one()

    def _wake_one(self) -> None:
        if self._sleepers:
            self._sleepers -= 1
            self._tokens.put(None)

    def _wait(self) -> bool:
        """Wait for rows; False, and the instance is not idle but done, once the queue is closed and empty."""
        while True:
            with self._lock:
                if self._rows:
                    return True
                if self._is_closed:
                    self._idle -= 1
                    return False
                self._sleepers += 1
            self._tokens.get()

    def _begin(self) -> None:
        """Wait for a core; an instance that does is not idle, and the others have all the rows to themselves."""
        if self._share.try_begin():
            return
        with self._lock:
            self._idle -= 1
        self._share.begin()
        with self._lock:
            self._idle += 1

    def _fair_share(self) -> int:
        """Rows for one batch: what waits is shared with the instances that are idle, too."""
        return min(self._limits.max_batch_rows, -(-self._rows // self._idle))

    def _collect(self, batch: list[Job[object]]) -> None:
        """Fill the batch until the window of its first job ends."""
        with self._lock:
            self._fill(batch, self._limits.max_batch_rows)
        if batch:
            self._fill_until(batch, batch[0].queued_at + self._limits.window_s)

    def _fill_until(self, batch: list[Job[object]], end: float) -> None:
        """Fill the batch with what comes until `end`, in `time.perf_counter()` seconds."""
        most = self._limits.max_batch_rows
        while True:
            with self._lock:
                is_full = self._fill(batch, most)
                remaining = end - time.perf_counter()
                if is_full or remaining <= 0 or self._is_closed or sum(job.rows for job in batch) >= most:
                    return
                self._sleepers += 1
            try:
                self._tokens.get(timeout=remaining)
            except queue.Empty:
                with self._lock:
                    if self._sleepers:
                        self._sleepers -= 1
                    else:  # woken just after the time had passed
                        self._tokens.get_nowait()

    def _fill(self, batch: list[Job[object]], most: int) -> bool:
        """Move jobs that fit from the queue into the batch; those of another shape keep their place.

        The first job fits always, others up to `most` rows in all.

        Returns:
            Whether one was left because it has too many rows.
        """
        rows = sum([job.rows for job in batch])
        is_full = False
        for priority in sorted(self._waiting):
            waiting = self._waiting[priority]
            passed: list[Job[object]] = []
            while waiting:
                job = waiting[0]
                if batch and not self._limits.is_joinable:
                    break
                if batch and job.trailing_shapes != batch[0].trailing_shapes:
                    passed.append(waiting.popleft())
                    continue
                if batch and rows + job.rows > most:
                    break
                self._mark_taken(waiting.popleft())
                if job.is_wanted:
                    batch.append(job)
                    rows += job.rows
            is_full = bool(waiting)
            waiting.extendleft(reversed(passed))
            if is_full:
                break
        self._drop_empty_levels()
        return is_full

    def _drop_empty_levels(self) -> None:
        """Callers choose the numbers of priorities; none is remembered."""
        for priority in [priority for priority, jobs in self._waiting.items() if not jobs]:
            del self._waiting[priority]

    def _mark_taken(self, job: Job[T]) -> None:
        job.is_taken = True
        self._rows -= job.rows
        self._bytes -= job.nbytes
