"""What is chosen from a table, what is worth trying, and what a measurement counts."""

import threading
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.errors import RunFailed
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors
from kedge_server.tuning import (
    Effort,
    Measured,
    batch_sizes,
    choose,
    instance_counts,
    measure,
    measure_all,
    still_grows,
    thread_counts,
)
from tests.server.in_process import prepared
from tests.services.bundles import identity, publish

FOUR_ROWS = {"x": np.ones((4, 4), np.float32)}


def one(rate: float, *, rows: int = 8, latency_s: float = 0.01, instances: int = 1, threads: int = 1) -> Measured:
    return Measured(threads, instances, rows, rate, latency_s)


def test_most_rows_per_second_win():
    table = [one(100, rows=8), one(200, rows=8, instances=2), one(150, rows=8, threads=2), one(300, rows=32)]
    assert choose(table) == table[3]
    assert choose(table[:3]) == table[1]


def test_without_a_bound_a_larger_batch_must_win_more_than_a_tenth():
    table = [one(89, rows=1), one(92, rows=8), one(91, rows=8, instances=2), one(100, rows=32)]
    assert choose(table) == table[1]
    assert choose([one(80, rows=8), one(100, rows=32)]).rows == 32


def test_larger_batches_than_were_measured_are_expected_to_be_better_only_where_they_were_so_far():
    assert still_grows([one(100, rows=1)])
    assert still_grows([one(100, rows=1), one(140, rows=4), one(220, rows=8, instances=2)])
    assert not still_grows([one(50, rows=1), one(140, rows=4), one(130, rows=4, instances=2), one(200, rows=8)])


def test_with_a_bound_the_best_of_those_within_it_wins():
    table = [one(50, rows=1, latency_s=0.001), one(96, rows=8, latency_s=0.005), one(100, rows=32, latency_s=0.02)]
    assert choose(table, 0.02) == table[2]
    assert choose(table, 0.019) == table[1]
    assert choose(table, 0.002) == table[0]


def test_where_nothing_is_within_the_bound_the_least_latency_wins():
    table = [one(50, rows=1, latency_s=0.002), one(100, rows=32, latency_s=0.02)]
    assert choose(table, 0.001) == table[0]


def test_of_two_that_do_the_same_the_one_with_fewer_instances_wins():
    assert choose([one(100, instances=2), one(100, instances=1)]).instances == 1


def test_what_is_tried_fits_the_cores():
    assert thread_counts(1, 1) == (1,)
    assert thread_counts(6, 1) == (1, 2, 4)
    assert thread_counts(2, 4) == (1, 2, 4)  # four is what is proven
    assert instance_counts(6, 1, "quick") == (1, 3, 6)
    assert instance_counts(6, 1, "full") == (1, 2, 4, 6)
    assert instance_counts(6, 4, "full") == (1,)
    assert instance_counts(2, 4, "quick") == (1,)


def test_batches_of_a_few_sizes_are_tried_and_the_largest_always():
    assert batch_sizes(32, "quick") == (1, 4, 8, 32)
    assert batch_sizes(5, "quick") == (1, 4, 5)
    assert batch_sizes(1, "full") == (1,)
    assert batch_sizes(20, "full") == (1, 2, 4, 8, 16, 20)


class Story:
    """Stands in for measurements: each takes no time, and says what it was asked; `slower` is how much one is."""

    def __init__(self, row_s: float = 1e-6, slower: dict[int, float] | None = None) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self.row_s = row_s
        self.slower = slower or {}

    def run(self, threads: int, instances: int, rows: int, limit_s: float) -> Measured | None:
        assert 0 < limit_s <= 0.05
        row_s = self.row_s * self.slower.get(len(self.asked), 1.0)
        self.asked.append((threads, instances, rows))
        return None if instances == 3 else Measured(threads, instances, rows, instances / row_s, 1e-6)


QUICK = Effort(total_s=60.0, each_s=0.05, runs=10)


def test_everything_is_measured_where_the_time_suffices():
    story = Story()
    table = measure_all((1, 8), [(1, 1), (1, 2)], story.run, QUICK, (1e-6, 1.0))
    assert story.asked == [(1, 1, 1), (1, 2, 1)] * 2 + [(1, 1, 8), (1, 2, 8)] * 2
    assert [(row.instances, row.rows) for row in table] == [(1, 1), (2, 1), (1, 8), (2, 8)]


@pytest.mark.parametrize("disturbed", range(8))
def test_a_measurement_that_was_disturbed_does_not_count(disturbed: int):
    table = measure_all((1, 8), [(1, 1), (1, 2)], Story(slower={disturbed: 2.0}).run, QUICK, (1e-6, 1.0))
    assert [round(row.rows_per_second * 1e-6) for row in table] == [1, 2, 1, 2]


def test_batches_that_would_take_too_long_are_measured_with_no_arrangement():
    story = Story(row_s=6.0)
    table = measure_all((1, 8, 32), [(1, 1), (1, 2)], story.run, QUICK, (6.0, 200.0))
    assert {row.rows for row in table} == {1}  # 8 rows are expected to take 48 seconds, four times
    table = measure_all((1, 8, 32), [(1, 1), (1, 2)], story.run, QUICK, (6.0, 14.0))
    assert {row.rows for row in table} == {1, 8, 32}  # no batch takes longer than the largest one did
    assert measure_all((1, 8), [(1, 1)], story.run, QUICK, (61.0, 70.0)) == []


def test_what_does_not_run_is_left_out():
    story = Story()
    table = measure_all((1, 8), [(1, 1), (1, 3)], story.run, QUICK, (1e-6, 1.0))
    assert {row.instances for row in table} == {1}
    assert measure_all((1, 8), [(1, 3)], story.run, QUICK, (1e-6, 1.0)) == []


class Meeting:
    """Stands in for a runtime: a run ends once every instance is in one, so that fewer at once would never end."""

    def __init__(self, runtime: Runtime, instances: int) -> None:
        self.options = runtime.options
        self.runs = 0
        self._everybody = threading.Barrier(instances, timeout=30)

    def run(self, inputs: Tensors) -> Tensors:
        self._everybody.wait()
        self.runs += 1
        return inputs


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return prepared(publish(identity(), tmp_path, "tiny"), instances=1).runtimes[0]


def test_all_instances_run_at_once(runtime: Runtime):
    meeting = Meeting(runtime, 3)
    found = measure([meeting] * 3, FOUR_ROWS, 4, limit_s=60.0, runs=5)  # type: ignore[list-item]
    assert meeting.runs == 15
    assert (found.threads, found.instances, found.rows) == (1, 3, 4)


def test_every_instance_runs_at_least_once_and_no_more_than_asked(runtime: Runtime):
    found = measure([runtime], FOUR_ROWS, 4, limit_s=0.0, runs=100)
    assert found.latency_s > 0
    # Handing a batch over takes time, too: nothing answers more than 10,000 batches a second in a thread.
    assert 0 < found.rows_per_second < 4 * 10_000


def test_a_run_that_fails_is_told(runtime: Runtime):
    with pytest.raises(RunFailed, match="expected the inputs"):
        measure([runtime, runtime], {"wrong": np.ones((4, 4), np.float32)}, 4, limit_s=1.0, runs=5)
