"""A bundle that is worth tuning, what it is loaded with, and a table to choose from instead of a clock."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors, row_count
from kedge_bundle.store import Bundle
from kedge_server.loading import Prepared
from kedge_server.tuner import Tuner
from kedge_server.tuning import Measured
from kedge_server.tuning_cache import TuningCache
from tests.server.in_process import prepared
from tests.services.bundles import slow_matmul

SLOW = slow_matmul(512, 8)
Log = list[dict[str, Any]]


def tuned(bundle: Bundle, state: Path | None, bound_s: float = 0.0, **options: Any) -> tuple[Prepared, Log]:  # noqa: ANN401
    """What is loaded with a tuner, and what the log says."""
    tuner = Tuner("quick", bound_s, TuningCache(state))
    with capture_logs() as log:
        return prepared(bundle, tuner=tuner, **options), log


def events(log: Log, name: str) -> Log:
    return [event for event in log if event["event"] == name]


class Table:
    """Stands in for the clock: what each arrangement would have measured."""

    def __init__(self, best: tuple[int, int, int]) -> None:
        self.best = best
        self.tried: set[tuple[int, int, int]] = set()

    def __call__(self, runtimes: tuple[Runtime, ...], inputs: Tensors, rows: int, *_: float) -> Measured:
        asked = (runtimes[0].options.threads, len(runtimes), rows)
        assert row_count(inputs) == rows
        self.tried.add(asked)
        return Measured(*asked, rows_per_second=2.0 if asked == self.best else 1.0, latency_s=1e-9 * rows)


def measured_as(monkeypatch: pytest.MonkeyPatch, threads: int, instances: int, rows: int) -> Table:
    """Let this be the best."""
    table = Table((threads, instances, rows))
    monkeypatch.setattr("kedge_server.arranging.measure", table)
    return table
