import asyncio
import re
import threading
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kedge_bundle.comparison import Kind
from kedge_server.errors import InvalidInput, ModelNotFound
from kedge_server.histogram import Histogram
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.series import OUTCOMES, OUTCOMES_NOWHERE
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


def test_every_outcome_of_a_model_is_there_at_zero_before_it_happens(tmp_path: Path):
    async def story() -> list[tuple[dict[str, str], float]]:
        async with serving(publish(square_root(), tmp_path, "root")) as served:
            families = parse_text(served.metrics.page("")[0].decode())
            return [(sample.labels, sample.value) for family in families for sample in family.samples]

    samples = asyncio.run(story())
    found = {(labels.get("model"), labels[key]) for labels, _ in samples for key in ("reason", "code") if key in labels}
    reasons = {"invalid_input", "queue_full", "answer_too_large", "answers_unread", "deadline", "cancelled"}
    reasons |= {"model_failed", "internal"}
    codes = {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL"}
    reasons_nowhere = {"invalid_input", "not_found", "not_ready", "not_supported", "internal"}
    codes_nowhere = {"INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "UNIMPLEMENTED", "INTERNAL"}
    expected = {"root": reasons | codes, "": reasons_nowhere | codes_nowhere}
    assert found == {(model, word) for model, words in expected.items() for word in words}
    kinds = {labels["kind"] for labels, _ in samples if labels.get("input") == "x" and "kind" in labels}
    assert kinds == set(get_args(Kind))
    counted = [value for labels, value in samples if labels.keys() & {"reason", "code", "kind"}]
    assert set(counted) == {0.0}


def test_what_happens_is_among_what_began_at_zero(tmp_path: Path):
    text, _ = page_after_traffic(tmp_path)
    began = {
        (labels, word) for labels, outcomes in (("root", OUTCOMES), ("", OUTCOMES_NOWHERE)) for word, _ in outcomes
    }
    found = {
        (sample.labels["model"], sample.labels["code"])
        for family in parse_text(text)
        for sample in family.samples
        if "code" in sample.labels
    }
    assert found == began


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


def finished(metrics: Metrics, count: int) -> None:
    for _ in range(count):
        record = metrics.start("open-inference")
        record.code, record.reason = "NOT_FOUND", "not_found"
        metrics.finish(record)


def counted(metrics: Metrics) -> float:
    body, _ = metrics.page("")
    (total,) = re.findall(r'kedge_requests_total{.*NOT_FOUND.*protocol="open-inference".*} (\S+)', body.decode())
    return float(total)


def test_whoever_reads_in_the_turn_in_which_a_request_ended_finds_it_counted():
    async def story() -> float:
        metrics = Metrics(ModelTable(), "test")
        finished(metrics, 3)
        return counted(metrics)

    assert asyncio.run(story()) == 3


def test_requests_are_counted_once_while_other_threads_read():
    async def story() -> tuple[list[float], float]:
        metrics, seen = Metrics(ModelTable(), "test"), list[float]()
        is_over = threading.Event()

        def read() -> None:
            while not is_over.is_set():
                seen.append(counted(metrics))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(300):
            finished(metrics, 10)
            await asyncio.sleep(0)
        is_over.set()
        await asyncio.to_thread(lambda: [reader.join() for reader in readers])
        return seen, counted(metrics)

    seen, total = asyncio.run(story())
    assert total == 3000
    assert all(0 <= number <= 3000 for number in seen)
