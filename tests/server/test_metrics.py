import asyncio
import re
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kedge_server.errors import InvalidInput, ModelNotFound
from kedge_server.histogram import Histogram
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from tests.server.in_process import Serving, serving
from tests.services.bundles import publish, square_root

DOCS = Path(__file__).parents[2] / "docs" / "serving.md"


def page_after_traffic(tmp_path: Path, accept: str = "") -> tuple[str, str]:
    """The page of a server that has answered, refused and not found."""

    async def traffic(served: Serving) -> None:
        await served.ask({"x": np.array([[-1, 99]], np.float32)})
        with pytest.raises(InvalidInput):
            await served.ask({"x": np.array([[np.nan, 9]], np.float32)})
        for i in range(20):
            with pytest.raises(ModelNotFound):
                await served.ask({}, model=f"stranger-{i}")

    async def story() -> tuple[str, str]:
        async with serving(publish(square_root(), tmp_path, "root")) as served:
            await traffic(served)
            body, content_type = served.metrics.page(accept)
            return body.decode(), content_type

    return asyncio.run(story())


def test_a_histogram_counts_by_upper_bound():
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert histogram.sum == pytest.approx(7.65)


def test_latency_buckets_go_from_100_microseconds_to_10_seconds_in_order():
    bounds = Histogram.LATENCY_S
    assert (bounds[0], bounds[-1]) == (100e-6, 10.0)
    assert list(bounds) == sorted(set(bounds))


def test_every_family_is_documented_with_its_labels_and_nothing_else_is(tmp_path: Path):
    text, _ = page_after_traffic(tmp_path)
    found: dict[str, set[str]] = {}
    for family in parse_text(text):
        for sample in family.samples:
            name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
            if name.startswith("kedge_"):
                found.setdefault(name, set()).update(sample.labels.keys() - {"le"})
    rows = re.findall(r"^\| `(kedge_\w+)` \| ([\w, ]*) \|", DOCS.read_text("utf-8"), re.MULTILINE)
    assert {name: {label for label in labels.split(", ") if label} for name, labels in rows} == found


def test_names_from_callers_make_no_series(tmp_path: Path):
    text, _ = page_after_traffic(tmp_path)
    assert "stranger" not in text
    models = {
        sample.labels["model"] for family in parse_text(text) for sample in family.samples if "model" in sample.labels
    }
    assert models == {"root", ""}


def test_histograms_add_up(tmp_path: Path):
    text, _ = page_after_traffic(tmp_path)
    families = {family.name: family for family in parse_text(text)}
    for name in ("kedge_request_duration_seconds", "kedge_phase_duration_seconds", "kedge_batch_rows"):
        samples = families[name].samples
        totals = {frozenset(s.labels.items()): s.value for s in samples if s.name.endswith("_count")}
        ends = {
            frozenset(s.labels.items() - {("le", "+Inf")}): s.value for s in samples if s.labels.get("le") == "+Inf"
        }
        assert totals == ends
        assert sum(totals.values()) > 0


def test_openmetrics_is_spoken_where_it_is_asked_for(tmp_path: Path):
    text, content_type = page_after_traffic(tmp_path, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert {family.name for family in parse_openmetrics(text)} >= {"kedge_requests", "kedge_model_info"}


def test_the_process_is_on_the_page():
    body, content_type = Metrics(ModelTable(), "test").page("")
    assert content_type.startswith("text/plain")
    for name in (b"process_resident_memory_bytes ", b"process_open_fds ", b"python_gc_", b"python_info{"):
        assert name in body


def test_a_model_of_which_nothing_is_known_has_statistics_of_zero():
    statistics = Metrics(ModelTable(), "test").statistics("absent", 1)
    assert (statistics.inference_count, statistics.success.count, statistics.last_inference_ms) == (0, 0, 0)
