"""Every metric, in one class with a registry of its own.

Numbers are plain integers and floats, written on the event loop's thread only, so that counting a request costs about
a microsecond and needs no lock; the page is made from them when Prometheus asks. Labels come from the models on disk
and from fixed lists, never from a caller.
"""

import platform
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from kedge_server.models import ModelTable, ServedModel
from kedge_server.validation import InputReport, OutputCount

PHASES = ("decode", "validate", "queue", "run", "encode")
PROTOCOLS = ("tensorflow-serving", "open-inference")
_OUTPUT_KINDS = ("nan", "inf")
_MODEL = ("model", "version")


class Histogram:
    """Counts of observations by upper bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    LATENCY_S: ClassVar[tuple[float, ...]] = (
        *(100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3),
        *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    )
    BATCH_ROWS: ClassVar[tuple[float, ...]] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """What Prometheus calls buckets: how many values were at most each bound."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, map(float, self.bounds)), "+Inf"), list(self.counts), strict=True):
            total += count
            buckets.append((bound, total))
        return buckets


@dataclass(slots=True)
class Duration:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.ns += round(seconds * 1e9)


@dataclass(slots=True)
class ModelStatistics:
    """What the Open Inference Protocol's ModelStatistics reports of one model version.

    `success` and `fail` are whole requests; queue and compute are those of successful requests.
    """

    inference_count: int = 0
    execution_count: int = 0
    last_inference_ms: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


@dataclass(slots=True)
class CallRecord:
    """What becomes known of one request on its way; counted once, at its end.

    Attributes:
        protocol: one of PROTOCOLS.
        started_at: `time.perf_counter()` seconds.
        model: None until it was found.
        phases: phase -> seconds, for the phases that were reached.
        code: the canonical code of the outcome.
        reason: why it was refused; empty when it was not.
    """

    protocol: str
    started_at: float
    model: ServedModel | None = None
    inputs: InputReport | None = None
    outputs: dict[str, OutputCount] | None = None
    phases: dict[str, float] = field(default_factory=dict)
    code: str = "OK"
    reason: str = ""


class _Series:
    """The numbers of one model version; of requests whose model was never found, where the name is empty."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.durations = {protocol: Histogram(Histogram.LATENCY_S) for protocol in PROTOCOLS}
        self.phases = {phase: Histogram(Histogram.LATENCY_S) for phase in PHASES}
        self.batch_rows = Histogram(Histogram.BATCH_ROWS)
        self.rejections: defaultdict[str, int] = defaultdict(int)
        self.input_values: defaultdict[str, int] = defaultdict(int)
        self.input_nonfinite: defaultdict[str, int] = defaultdict(int)
        self.stat_violations: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.output_values: defaultdict[str, int] = defaultdict(int)
        self.output_nonfinite: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.nan_responses = 0
        self.statistics = ModelStatistics()
        for protocol in PROTOCOLS:
            self.requests[protocol, "OK"] = 0


class Metrics(Collector):
    """Counts everything that the server does.

    Args:
        models: for readiness, queue lengths and what each model runs on, read when the page is made.
        server_version: for `kedge_build_info`.
    """

    def __init__(self, models: ModelTable, server_version: str) -> None:
        self._models = models
        self._server_version = server_version
        self._nowhere = _Series()
        self._series: dict[tuple[str, int], _Series] = {}
        self._started = dict.fromkeys(PROTOCOLS, 0)
        self._inflight = 0
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
        series = self._series_of(model)
        for spec in model.signature.inputs:
            series.input_values[spec.name] += 0
            series.input_nonfinite[spec.name] += 0
        for spec in model.signature.outputs:
            series.output_values[spec.name] += 0
            for kind in _OUTPUT_KINDS:
                series.output_nonfinite[spec.name, kind] += 0

    def start(self, protocol: str) -> CallRecord:
        """A request came in."""
        self._started[protocol] += 1
        self._inflight += 1
        return CallRecord(protocol, time.perf_counter())

    def finish(self, record: CallRecord) -> None:
        """A request ended, in whatever way."""
        seconds = time.perf_counter() - record.started_at
        self._inflight -= 1
        series = self._nowhere if record.model is None else self._series_of(record.model)
        series.requests[record.protocol, record.code] += 1
        series.durations[record.protocol].observe(seconds)
        for phase, phase_seconds in record.phases.items():
            series.phases[phase].observe(phase_seconds)
        if record.reason:
            series.rejections[record.reason] += 1
        if record.inputs is not None:
            _count_inputs(series, record.inputs)
        if record.outputs is not None:
            _count_outputs(series, record.outputs)
        _count_statistics(series.statistics, record, seconds)

    @property
    def inflight(self) -> int:
        """Requests that have no answer yet."""
        return self._inflight

    def count_run(self, model: ServedModel, rows: int, *, is_ok: bool) -> None:
        """A model ran a batch."""
        series = self._series_of(model)
        series.batch_rows.observe(rows)
        series.statistics.execution_count += is_ok

    def statistics(self, model: str, version: int) -> ModelStatistics:
        """The sums of one model version since the start; all zero when nothing was asked of it."""
        series = self._series.get((model, version))
        return series.statistics if series else ModelStatistics()

    def _series_of(self, model: ServedModel) -> _Series:
        key = (model.name, model.version)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        return series

    def collect(self) -> Iterable[Metric]:
        """Every family of the page."""
        # Copied first: this runs in the page server's thread while the event loop goes on counting.
        series = [((name, str(version)), one) for (name, version), one in list(self._series.items())]
        yield from self._server_families()
        yield from self._model_families()
        yield from _request_families([*series, (("", ""), self._nowhere)])
        yield from _run_families(series)
        yield from _value_families(series)

    def _server_families(self) -> Iterable[Metric]:
        yield _gauge(
            "kedge_build_info",
            "What this server is; always 1.",
            ("version", "python"),
            [((self._server_version, platform.python_version()), 1)],
        )
        yield _gauge("kedge_inflight_requests", "Requests that have no answer yet.", (), [((), self._inflight)])
        yield _counter(
            "kedge_requests_started_total",
            "Requests that came in; each ends in kedge_requests_total.",
            ("protocol",),
            [((protocol,), count) for protocol, count in self._started.items()],
        )

    def _model_families(self) -> Iterable[Metric]:
        entries = [((model.name, str(model.version)), model) for model in self._models.entries()]
        loaded = [(labels, model.parts) for labels, model in entries if model.parts is not None]
        yield _gauge(
            "kedge_model_ready",
            "Whether the model version answers.",
            _MODEL,
            [(labels, int(self._models.is_serving(model))) for labels, model in entries],
        )
        yield _gauge(
            "kedge_model_info",
            "What a loaded model version is and where it runs; always 1.",
            (*_MODEL, "format", "device", "keras_version", "sha256"),
            [
                (
                    (
                        *labels,
                        parts.artifact.format,
                        parts.device,
                        parts.bundle.manifest.source.keras_version,
                        parts.artifact.sha256,
                    ),
                    1,
                )
                for labels, parts in loaded
            ],
        )
        yield _gauge(
            "kedge_queue_rows",
            "Rows that wait for an instance.",
            _MODEL,
            [(labels, parts.scheduler.queued_rows) for labels, parts in loaded],
        )


_Labelled = list[tuple[tuple[str, str], _Series]]


def _count_inputs(series: _Series, report: InputReport) -> None:
    for name, values in report.values.items():
        series.input_values[name] += values
    for name, values in report.nonfinite.items():
        series.input_nonfinite[name] += values
    for violation in report.stat_violations:
        series.stat_violations[violation.input, violation.kind] += 1


def _count_outputs(series: _Series, outputs: dict[str, OutputCount]) -> None:
    has_nan = False
    for name, count in outputs.items():
        series.output_values[name] += count.values
        if count.nan or count.inf:
            series.output_nonfinite[name, "nan"] += count.nan
            series.output_nonfinite[name, "inf"] += count.inf
            has_nan = has_nan or count.nan > 0
    series.nan_responses += has_nan


def _count_statistics(statistics: ModelStatistics, record: CallRecord, seconds: float) -> None:
    if record.code != "OK":
        statistics.fail.add(seconds)
        return
    phases = record.phases
    statistics.success.add(seconds)
    statistics.queue.add(phases["queue"])
    statistics.compute_input.add(phases["decode"] + phases["validate"])
    statistics.compute_infer.add(phases["run"])
    statistics.compute_output.add(phases["encode"])
    statistics.inference_count += record.inputs.rows if record.inputs else 0
    statistics.last_inference_ms = time.time_ns() // 1_000_000


def _request_families(series: _Labelled) -> Iterable[Metric]:
    yield _counter(
        "kedge_requests_total",
        "Requests by outcome. Model and version are empty where no model was found.",
        (*_MODEL, "protocol", "code"),
        [((*labels, *key), count) for labels, one in series for key, count in list(one.requests.items())],
    )
    yield _histogram(
        "kedge_request_duration_seconds",
        "From the request's first byte decoded to its answer encoded, whatever the outcome.",
        (*_MODEL, "protocol"),
        [((*labels, protocol), values) for labels, one in series for protocol, values in one.durations.items()],
    )
    yield _counter(
        "kedge_rejections_total",
        "Requests that got no answer, by reason.",
        (*_MODEL, "reason"),
        [((*labels, reason), count) for labels, one in series for reason, count in list(one.rejections.items())],
    )


def _run_families(series: _Labelled) -> Iterable[Metric]:
    yield _histogram(
        "kedge_phase_duration_seconds",
        "The parts of a request's way, for every request that reached them.",
        (*_MODEL, "phase"),
        [((*labels, phase), values) for labels, one in series for phase, values in one.phases.items()],
    )
    yield _histogram(
        "kedge_batch_rows",
        "Rows of each run of the model.",
        _MODEL,
        [(labels, one.batch_rows) for labels, one in series],
    )


def _value_families(series: _Labelled) -> Iterable[Metric]:
    yield _counter(
        "kedge_input_values_total",
        "Values in well-formed inputs.",
        (*_MODEL, "input"),
        [((*labels, name), count) for labels, one in series for name, count in list(one.input_values.items())],
    )
    yield _counter(
        "kedge_input_nonfinite_values_total",
        "NaN and infinite values in inputs, refused ones included.",
        (*_MODEL, "input"),
        [((*labels, name), count) for labels, one in series for name, count in list(one.input_nonfinite.items())],
    )
    yield _counter(
        "kedge_input_stat_violations_total",
        "Features of inputs outside of what training saw, by kind.",
        (*_MODEL, "input", "kind"),
        [((*labels, *key), count) for labels, one in series for key, count in list(one.stat_violations.items())],
    )
    yield _counter(
        "kedge_output_values_total",
        "Values in the outputs that were asked for.",
        (*_MODEL, "output"),
        [((*labels, name), count) for labels, one in series for name, count in list(one.output_values.items())],
    )
    yield _counter(
        "kedge_output_nonfinite_values_total",
        "NaN and infinite values in the outputs that were asked for.",
        (*_MODEL, "output", "kind"),
        [((*labels, *key), count) for labels, one in series for key, count in list(one.output_nonfinite.items())],
    )
    yield _counter(
        "kedge_nan_responses_total",
        "Runs of a request whose outputs held at least one NaN.",
        _MODEL,
        [(labels, one.nan_responses) for labels, one in series],
    )


_Samples = list[tuple[tuple[str, ...], float]]


def _gauge(name: str, documentation: str, labels: tuple[str, ...], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, documentation: str, labels: tuple[str, ...], samples: _Samples) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(
    name: str, documentation: str, labels: tuple[str, ...], samples: list[tuple[tuple[str, ...], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=labels)
    for values, histogram in samples:
        family.add_metric(values, buckets=histogram.cumulative(), sum_value=histogram.sum)
    return family
