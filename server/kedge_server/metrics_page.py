"""The metrics page: every family's name, help and labels, filled from what `metrics.py` has counted.

Runs in the page server's thread while the event loop goes on counting, so what may grow meanwhile is copied first.
"""

import platform
from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from kedge_server.histogram import Histogram
from kedge_server.models import ModelTable
from kedge_server.series import Series

_MODEL = ("model", "version")

LabelledSeries = list[tuple[tuple[str, str], Series]]
"""Series with the values of the labels model and version."""


def server_families(server_version: str, inflight: int, started: Mapping[str, int]) -> Iterable[Metric]:
    """What concerns the whole server."""
    yield _gauge(
        "kedge_build_info",
        "What this server is; always 1.",
        ("version", "python"),
        [((server_version, platform.python_version()), 1)],
    )
    yield _gauge("kedge_inflight_requests", "Requests that have no answer yet.", (), [((), inflight)])
    yield _counter(
        "kedge_requests_started_total",
        "Requests that came in; each ends in kedge_requests_total.",
        ("protocol",),
        [((protocol,), count) for protocol, count in started.items()],
    )


def model_families(models: ModelTable) -> Iterable[Metric]:
    """What the table of models knows now."""
    entries = [((model.name, str(model.version)), model) for model in models.entries()]
    loaded = [(labels, parts) for labels, model in entries if (parts := model.parts) is not None]
    yield _gauge(
        "kedge_model_ready",
        "Whether the model version answers.",
        _MODEL,
        [(labels, int(models.is_serving(model))) for labels, model in entries],
    )
    yield _gauge(
        "kedge_model_info",
        "What a loaded model version is and where it runs; always 1.",
        (*_MODEL, "format", "device", "keras_version", "sha256"),
        [
            (
                (
                    *labels,
                    parts.artifact.name,
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
    yield _gauge(
        "kedge_model_instances",
        "Batches of a loaded model version that can run at once.",
        _MODEL,
        [(labels, parts.scheduler.instances) for labels, parts in loaded],
    )
    yield _gauge(
        "kedge_model_batch_rows_limit",
        "Rows that a batch of several requests may have.",
        _MODEL,
        [(labels, parts.scheduler.max_batch_rows) for labels, parts in loaded],
    )


def request_families(series: LabelledSeries) -> Iterable[Metric]:
    """How many requests, how long, and why they got no answer."""
    yield _counter(
        "kedge_requests_total",
        "Requests by outcome. Model and version are empty where no model was found.",
        (*_MODEL, "protocol", "code"),
        [((*labels, *key), count) for labels, one in series for key, count in list(one.requests.items())],
    )
    yield _histogram(
        "kedge_request_duration_seconds",
        "From a request's decoding to its encoded answer, whatever the outcome.",
        (*_MODEL, "protocol"),
        [((*labels, protocol), values) for labels, one in series for protocol, values in one.durations.items()],
    )
    yield _counter(
        "kedge_rejections_total",
        "Requests that got no answer, by reason.",
        (*_MODEL, "reason"),
        [((*labels, reason), count) for labels, one in series for reason, count in list(one.rejections.items())],
    )


def run_families(series: LabelledSeries) -> Iterable[Metric]:
    """Where the time goes, and how large the batches are."""
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


def value_families(series: LabelledSeries) -> Iterable[Metric]:
    """What the tensors hold."""
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
        "Requests whose outputs held at least one NaN.",
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
