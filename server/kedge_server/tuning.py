"""What tuning measures, and how the best arrangement is chosen from it. Knows neither bundles nor settings nor files.

An arrangement is how many instances serve a model, with how many threads inside each run, and the rows of a batch.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors

HAND_OVER_S = 300e-6
"""Processor time that it costs to hand a batch to a thread and its results back, while other instances compute: a
MobileNetV2 takes 2,200 µs in batches of one row and 1,790 in batches of four, of which the runs explain 150."""

QUICK_S = 200e-6
"""A model whose largest batch is done in so short a time runs on the event loop: to hand it over costs 100 µs where
nothing else computes."""

Mode = Literal["quick", "full"]

_CLOSE_TO_BEST = 0.9
"""A larger batch must win more than this leaves. Callers wait for a batch to end, and where batches hold what all of
them ask, an instance that is done finds nothing to begin: MobileNetV2's runs of 8 rows give up to 5 % more rows a
second than those of 4, and 16 callers get 9 % fewer answers."""

_STILL_GROWS = 1.5
"""Of rows a second, from the size before to the last that was measured: a GPU, which still larger ones may suit."""

_PERCENTILE = 0.95


@dataclass(frozen=True)
class Effort:
    """How long a measurement may take.

    Attributes:
        total_s: for one model in all.
        each_s: for one arrangement, each time, at most.
        runs: of one instance in one arrangement, each time, at most.
    """

    total_s: float
    each_s: float
    runs: int


EFFORTS: dict[Mode, Effort] = {"quick": Effort(0.6, 0.05, 64), "full": Effort(10.0, 0.25, 10_000)}

_TURNS = 2
"""So often each arrangement is measured, and the better time counts: what disturbs a measurement makes it slower, never
faster. In one of fifteen, both instances of a MobileNetV2 stayed on one of two cores for all of the 50 ms."""


@dataclass(frozen=True)
class Arrangement:
    """How a model is served.

    Attributes:
        instances: batches at once.
        threads: inside one run.
        max_batch_rows: rows of a batch of several requests.
        is_quick: whether runs are so short that they are done on the event loop.
    """

    instances: int
    threads: int
    max_batch_rows: int
    is_quick: bool


@dataclass(frozen=True)
class Measured:
    """One arrangement under full load.

    Attributes:
        threads, instances, rows: the arrangement, with batches of so many rows.
        rows_per_second: of all instances together; handing batches over is counted in.
        latency_s: of one batch, the 95th percentile.
    """

    threads: int
    instances: int
    rows: int
    rows_per_second: float
    latency_s: float

    @property
    def run_s(self) -> float:
        """What a batch takes on average."""
        return self.rows * self.instances / self.rows_per_second


def thread_counts(cores: int, own: int) -> tuple[int, ...]:
    """Threads inside a run worth trying: powers of two that fit, and the number that the session has already."""
    return tuple(sorted({*_powers_of_two(cores), own}))


def instance_counts(cores: int, threads: int, mode: Mode) -> tuple[int, ...]:
    """Instances worth trying that fit the cores together; at least one."""
    most = max(1, cores // threads)
    return tuple(sorted({1, max(1, most // 2), most} if mode == "quick" else {*_powers_of_two(most), most}))


def batch_sizes(most: int, mode: Mode) -> tuple[int, ...]:
    """Rows of a batch worth trying."""
    sizes = {1, 4, 8} if mode == "quick" else _powers_of_two(most)
    return tuple(sorted({size for size in sizes if size < most} | {most}))


def choose(table: Sequence[Measured], latency_bound_s: float = 0.0) -> Measured:
    """The arrangement that answers most rows per second.

    Among those whose latency is within the bound, and where none is, the one with the least latency. Without a bound
    (0), of those close to the best the one with the smallest batch.
    """
    if latency_bound_s:
        within = [one for one in table if one.latency_s <= latency_bound_s]
        return max(within, key=_rate) if within else min(table, key=lambda one: one.latency_s)
    enough = max(one.rows_per_second for one in table) * _CLOSE_TO_BEST
    close = [one for one in table if one.rows_per_second >= enough]
    smallest = min(one.rows for one in close)
    return max((one for one in close if one.rows == smallest), key=_rate)


def still_grows(table: Sequence[Measured]) -> bool:
    """Whether larger batches than those that were measured may be expected to answer many more rows per second.

    Also where only one size was: nothing speaks against it then.
    """
    best: dict[int, float] = {}
    for one in table:
        best[one.rows] = max(best.get(one.rows, 0.0), one.rows_per_second)
    *smaller, largest = sorted(best)
    return not smaller or best[largest] >= _STILL_GROWS * best[smaller[-1]]


def measure(runtimes: Sequence[Runtime], inputs: Tensors, rows: int, limit_s: float, runs: int) -> Measured:
    """Run `inputs` in a thread for each instance, all at once, as the scheduler does under full load.

    Args:
        runtimes: one per instance; the same one several times where it may be shared.
        inputs: a batch, each of shape (rows, ...).
        rows: of the batch.
        limit_s: begins no further run after so many seconds; each instance runs at least once.
        runs: of one instance, at most.

    Raises:
        RunFailed: as `Runtime.run`.
    """
    barrier = threading.Barrier(len(runtimes))
    times: list[list[float]] = [[] for _ in runtimes]
    errors: list[Exception] = []

    def work(runtime: Runtime, own: list[float]) -> None:
        try:
            barrier.wait()
            end = time.perf_counter() + limit_s
            while len(own) < runs and (not own or time.perf_counter() < end):
                started = time.perf_counter()
                runtime.run(inputs)
                own.append(time.perf_counter() - started)
        except Exception as error:  # noqa: BLE001 (raised again below, in the thread that asked)
            errors.append(error)

    # Daemons: a server that is told to stop must not wait for them.
    threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in zip(runtimes, times, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    warm = [_without_first(own) for own in times]
    return Measured(
        threads=runtimes[0].options.threads,
        instances=len(runtimes),
        rows=rows,
        rows_per_second=sum(rows * len(own) / (sum(own) + HAND_OVER_S * len(own)) for own in warm),
        latency_s=float(np.quantile(np.concatenate(warm), _PERCENTILE)),
    )


def measure_all(
    sizes: Sequence[int],
    arrangements: Sequence[tuple[int, int]],
    run: Callable[[int, int, int, float], Measured | None],
    effort: Effort,
    take_s: tuple[float, float],
) -> list[Measured]:
    """Measure every arrangement with every batch size, the smallest first, as far as the time suffices.

    A size is measured with all arrangements or with none, since only these can be compared; by turns, and the best turn
    of each counts.

    Args:
        sizes: rows of a batch, ascending.
        arrangements: pairs of threads and instances.
        run: measures threads, instances and rows within so many seconds; None where they do not run together.
        effort: how long this may take.
        take_s: about what a run of the smallest batch takes, and one of the largest.

    Returns:
        Nothing where not even the smallest batch fits into the time.
    """
    end = time.perf_counter() + effort.total_s
    table: list[Measured] = []
    turns = [*arrangements] * _TURNS
    (expected_s, largest_s), before = take_s, sizes[0]
    for position, rows in enumerate(sizes):
        expected_s, before = min(expected_s * rows / before, largest_s), rows
        if expected_s * len(turns) > end - time.perf_counter():
            break
        left = len(turns) * (len(sizes) - position)
        found: dict[tuple[int, int], Measured] = {}
        for pair in turns:
            share = max(0.0, end - time.perf_counter()) / left
            one = run(*pair, rows, min(effort.each_s, share))
            left -= 1
            if one is not None and (pair not in found or one.rows_per_second > found[pair].rows_per_second):
                found[pair] = one
        if not found:
            break
        table += found.values()
        expected_s = max(one.run_s for one in found.values())
    return table


def _powers_of_two(most: int) -> set[int]:
    return {1 << exponent for exponent in range(most.bit_length())}


def _rate(one: Measured) -> tuple[float, int, int]:
    """More rows per second are better; of two that do the same, the smaller batch and the fewer instances."""
    return one.rows_per_second, -one.rows, -one.instances


def _without_first(times: list[float]) -> list[float]:
    """The first run of a size may allocate and choose kernels: it counts only where there is hardly another."""
    return times[1:] if len(times) > 2 else times  # noqa: PLR2004
