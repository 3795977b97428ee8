"""Jobs: the rows of one caller. Knows neither queues nor runtimes."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kedge_bundle.signature import Tensors

T = TypeVar("T")

USUAL_PRIORITY = 2
"""Of requests that name none: 1 goes before them."""

UNFINISHED: Any = object()
"""What `complete` returns where other jobs of the same request are still to run: the last of them has its result."""


@dataclass(eq=False, slots=True)
class Job(Generic[T]):
    """One caller's rows on their way through the queue and an instance. Compared by identity.

    Attributes:
        inputs: valid inputs, each (rows, ...).
        rows: how many.
        complete: turns this job's outputs into the request's result; runs in the instance's thread. What it raises is
            the request's outcome.
        future: of the request; finished at most once, on the event loop's thread. Whoever waits for it makes it.
        deadline: in `time.monotonic()` seconds.
        priority: lower goes first.
        text_bytes: what strings among the inputs hold beside the arrays that point to them.
        is_taken: whether an instance has it.
        trailing_shapes: of the inputs, without the batch axis; the queue sets it.
        nbytes: what the inputs hold in memory; the queue sets it.
        queued_at, started_at, ran_at, completed_at: `time.perf_counter()` seconds; 0 until it happens.
    """

    inputs: Tensors
    rows: int
    complete: Callable[[Tensors], T]
    future: asyncio.Future[T] | None = None
    deadline: float | None = None
    priority: int = USUAL_PRIORITY
    text_bytes: int = 0
    queued_at: float = 0.0
    started_at: float = 0.0
    ran_at: float = 0.0
    completed_at: float = 0.0
    is_taken: bool = False
    trailing_shapes: tuple[tuple[int, ...], ...] = ()
    nbytes: int = 0

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for the result: neither cancelled nor out of time."""
        is_over = self.future is not None and self.future.done()
        return not is_over and (self.deadline is None or time.monotonic() < self.deadline)

    def finish(self, result: T) -> None:
        """Hand the result to whoever waits; one that was cancelled, or is done, stays so."""
        if result is not UNFINISHED and self.future is not None and not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Raise the error where the job is waited for; as `finish`."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)
