"""Every metric, in one class with a registry of its own.

Numbers are plain integers and floats; the page is made from them when Prometheus asks. Labels come from the models on
disk and from fixed lists, never from a caller.

Requests that end in the same turn of the event loop are counted together, after the turn: between one answer and the
next gRPC's code runs, and what counts would have left the processor's caches each time.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from kedge_server.metrics_page import (
    LabelledSeries,
    model_families,
    request_families,
    run_families,
    server_families,
    value_families,
)
from kedge_server.models import ModelTable
from kedge_server.series import OUTCOMES, OUTCOMES_NOWHERE, PROTOCOLS, CallRecord, ModelStatistics, Series
from kedge_server.served_model import ServedModel


class Metrics(Collector):
    """Counts everything that the server does.

    Args:
        models: for readiness, queue lengths and what each model runs on, read when the page is made.
        server_version: for `kedge_build_info`.
    """

    def __init__(self, models: ModelTable, server_version: str) -> None:
        self._models = models
        self._server_version = server_version
        self._nowhere = Series(OUTCOMES_NOWHERE)
        self._series: dict[tuple[str, int], Series] = {}
        self._started = dict.fromkeys(PROTOCOLS, 0)
        self._inflight = 0
        self._ended: deque[CallRecord] = deque()
        self._counting = threading.Lock()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The metrics page and its content type, in the format that the `Accept` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def add_model(self, model: ServedModel) -> None:
        """Begin a loaded model's series at zero, so that rates exist before the first event."""
        self._series_of(model).begin(model.loaded.contract)

    def remove_model(self, model: ServedModel) -> None:
        """End the series of a version that is gone: labels come from models that are loaded."""
        self._count_ended()
        self._series.pop((model.name, model.version), None)

    def start(self, protocol: str) -> CallRecord:
        """A request came in."""
        self._started[protocol] += 1
        self._inflight += 1
        return CallRecord(protocol, time.perf_counter())

    def finish(self, record: CallRecord) -> None:
        """A request ended, in whatever way. On the event loop's thread; whoever reads a number finds it counted."""
        record.seconds = time.perf_counter() - record.started_at
        self._inflight -= 1
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._count_ended)
        self._ended.append(record)

    @property
    def inflight(self) -> int:
        """Requests that have no answer yet."""
        return self._inflight

    @property
    def started(self) -> int:
        """Requests that ever came in."""
        return sum(self._started.values())

    def count_run(self, model: ServedModel, rows: int, *, is_ok: bool) -> None:
        """A model ran a batch."""
        series = self._series_of(model)
        series.batch_rows.observe(rows)
        series.statistics.execution_count += is_ok

    def statistics(self, model: str, version: int) -> ModelStatistics:
        """The sums of one model version since the start; all zero when nothing was asked of it."""
        self._count_ended()
        series = self._series.get((model, version))
        return series.statistics if series else ModelStatistics()

    def _count_ended(self) -> None:
        """Count what has ended. Also in the threads of those who read."""
        with self._counting:
            while self._ended:
                record = self._ended.popleft()
                series = self._nowhere if record.model is None else self._series_of(record.model)
                series.count(record)

    def _series_of(self, model: ServedModel) -> Series:
        key = (model.name, model.version)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(OUTCOMES)
        return series

    def collect(self) -> Iterable[Metric]:
        """Every family of the page."""
        self._count_ended()
        series: LabelledSeries = [((name, str(version)), one) for (name, version), one in list(self._series.items())]
        yield from server_families(self._server_version, self._inflight, self._started)
        yield from model_families(self._models)
        yield from request_families([*series, (("", ""), self._nowhere)])
        yield from run_families(series)
        yield from value_families(series)
