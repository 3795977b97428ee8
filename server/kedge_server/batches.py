"""Rows of several jobs in one run, and one job's rows in several: joined, filled up, split, put together again."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.errors import RunFailed
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Signature, Tensors
from kedge_server.job_queue import QueueLimits
from kedge_server.jobs import UNFINISHED, Job

T = TypeVar("T")


def is_joinable(signature: Signature) -> bool:
    """Whether jobs of this model can share a run: every input and output has a free batch axis."""
    return all(spec.shape and spec.shape[0] is None for spec in (*signature.inputs, *signature.outputs))


def fitting(limits: QueueLimits, runtime: Runtime) -> QueueLimits:
    """The limits as the artifact allows them: one whose batch is fixed takes that many rows, nothing more at a time."""
    if not (limits.is_joinable and is_joinable(runtime.signature)):
        return replace(limits, is_joinable=False, batch_sizes=())
    if runtime.artifact.batch != "dynamic":
        return replace(limits, max_batch_rows=runtime.artifact.batch, window_s=0.0, batch_sizes=())
    most = min(limits.max_batch_rows, max(limits.batch_sizes, default=limits.max_batch_rows))
    return replace(limits, max_batch_rows=most, batch_sizes=tuple(sorted(limits.batch_sizes)))


def batched(jobs: Sequence[Job[object]], limits: QueueLimits) -> Iterator[list[Job[object]]]:
    """Jobs whose inputs differ in their number of rows only, as batches, in order; each is no larger than one."""
    batch: list[Job[object]] = []
    rows = 0
    for job in jobs:
        if batch and (not limits.is_joinable or rows + job.rows > limits.max_batch_rows):
            yield batch
            batch, rows = [], 0
        batch.append(job)
        rows += job.rows
    if batch:
        yield batch


def run_joined(runtime: Runtime, jobs: Sequence[Job[Any]], rows: int, sizes: tuple[int, ...]) -> list[Tensors]:
    """Run the rows of all jobs at once and give each job its own back, in order.

    Args:
        runtime: the model.
        jobs: of inputs that differ in their number of rows only.
        rows: of all of them.
        sizes: `QueueLimits.batch_sizes`.

    Raises:
        RunFailed: the model raised, or answered with another number of rows.
    """
    filled = _filled(rows, sizes)
    if len(jobs) == 1 and filled == rows:
        return [runtime.run(jobs[0].inputs)]
    joined = {name: [job.inputs[name] for job in jobs] for name in jobs[0].inputs}
    if filled > rows:
        for arrays in joined.values():
            # The last row again: what the model has to answer anyway can harm nothing.
            arrays.append(np.repeat(arrays[-1][-1:], filled - rows, axis=0))
    outputs = runtime.run({name: _joined(arrays, filled) for name, arrays in joined.items()})
    for name, array in outputs.items():
        if array.shape[0] != filled:
            raise RunFailed(f"the output '{name}' came with {array.shape[0]} rows for {filled}")
    answers: list[Tensors] = []
    start = 0
    for job in jobs:
        answers.append({name: array[start : start + job.rows] for name, array in outputs.items()})
        start += job.rows
    return answers


def _filled(rows: int, sizes: tuple[int, ...]) -> int:
    """The rows of the run: the next of the sizes; as they are where there is none."""
    place = bisect_left(sizes, rows)
    return sizes[place] if place < len(sizes) else rows


def _joined(arrays: list[NDArray[Any]], rows: int) -> NDArray[Any]:
    """The rows of all arrays in one, which may be read-only.

    numpy gives Python's lock away for each array that it copies, and an instance would have to wait for it as often;
    bytes are joined under the lock, or from a megabyte upwards without it, once.
    """
    first = arrays[0]
    if first.dtype == object:
        return np.concatenate(arrays)
    data = b"".join([np.ascontiguousarray(array).data for array in arrays])
    return np.frombuffer(data, first.dtype).reshape(rows, *first.shape[1:])


def split(whole: Job[T], most: int) -> list[Job[T]]:
    """One job as jobs of so many rows, to be queued instead of it, in order.

    They share one future; the instance that runs the last of them puts the answers together, and calls the job's
    `complete` once, with all rows. None of them knows the others: the largest requests there are would stay in memory
    until the collector comes by.

    Args:
        whole: the job.
        most: rows of a part.
    """
    starts = range(0, whole.rows, most)
    answers: dict[int, Tensors] = {}
    lock = threading.Lock()

    def completing(number: int) -> Callable[[Tensors], T]:
        def complete(outputs: Tensors) -> T:
            with lock:
                answers[number] = outputs
                is_last = len(answers) == len(starts)
            if not is_last:
                return UNFINISHED  # type: ignore[no-any-return]
            in_order = [answers[place] for place in range(len(starts))]
            return whole.complete({name: np.concatenate([answer[name] for answer in in_order]) for name in outputs})

        return complete

    def part(number: int, rows: slice) -> Job[T]:
        inputs = {name: array[rows] for name, array in whole.inputs.items()}
        count = min(rows.stop, whole.rows) - rows.start
        text_bytes = whole.text_bytes * count // whole.rows
        return Job(inputs, count, completing(number), None, whole.deadline, whole.priority, text_bytes)

    return [part(number, slice(start, start + most)) for number, start in enumerate(starts)]


def note_times(whole: Job[T], parts: Sequence[Job[T]]) -> None:
    """Tell a job when its parts were queued, began, ran and were done, where all of them got so far."""
    whole.queued_at = parts[0].queued_at
    whole.started_at = min([part.started_at for part in parts if part.started_at], default=0.0)
    if all(part.ran_at for part in parts):
        whole.ran_at = max(part.ran_at for part in parts)
    if all(part.completed_at for part in parts):
        whole.completed_at = max(part.completed_at for part in parts)
