"""The dashboard and the rules against the real Prometheus, scraping a real server under traffic."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.deploy import dashboard, traffic
from tests.deploy.dashboard import Query
from tests.deploy.prometheus import CONFIGURATION, Labels, Prometheus, running_prometheus
from tests.services.bundles import publish, square_root, two_output
from tests.services.server_process import ServerProcess, running_server

ALL = ".*"
ROUNDS = 12

EXPECTED: dict[str, tuple[str, set[str]]] = {
    "Latency by model": ("model", {"square_root", "two_output"}),
    "Phases": ("phase", {"decode", "validate", "queue", "run", "encode"}),
    "Requests by code": ("code", {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}),
    "Requests by model and protocol": ("protocol", {"tensorflow-serving", "open-inference"}),
    "Rows": ("model", {"square_root", "two_output"}),
    "Outputs: NaN rate": ("output", {"y", "total", "difference"}),
    "Refused requests by reason": ("reason", {"invalid_input", "not_found"}),
    "Inputs unlike training": ("kind", {"below-range", "above-range", "z-score"}),
    "Inputs: NaN and infinity": ("input", {"a", "b", "x"}),
    "Models": ("model", {"square_root", "two_output"}),
    "Ready": ("model", {"square_root", "two_output"}),
}


@dataclass(frozen=True)
class Observed:
    """A server that has had its traffic, and the Prometheus that watched."""

    server: ServerProcess
    prometheus: Prometheus

    def values(self, query: Query, models: str) -> list[tuple[Labels, float]]:
        """The samples of one panel's query that are numbers."""
        samples = self.prometheus.query(query.for_models(models))
        return [(labels, value) for labels, value in samples if math.isfinite(value)]


@pytest.fixture(scope="module")
def observed(prometheus_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    work = tmp_path_factory.mktemp("observed")
    publish(two_output(), work / "models", "two_output")
    publish(square_root(), work / "models", "square_root")
    with running_server(work / "models") as server:
        target = server.http.removeprefix("http://")
        with running_prometheus(prometheus_programs / "prometheus", work, target) as prometheus:
            prometheus.wait_for("the first scrape", lambda: prometheus.query("up == 1") != [])
            traffic.send(server.grpc, ROUNDS)
            requests = server.samples("kedge_requests_total")
            prometheus.wait_for(
                "the last requests",
                lambda: prometheus.query("sum(kedge_requests_total)")[0][1] == sum(value for _, value in requests),
            )
            yield Observed(server, prometheus)


@pytest.mark.parametrize("query", dashboard.queries(), ids=str)
def test_every_panel_shows_data(observed: Observed, query: Query):
    assert observed.values(query, ALL), query.for_models(ALL)


@pytest.mark.parametrize("query", dashboard.queries(), ids=str)
def test_no_panel_is_empty_for_a_model_that_has_only_ordinary_requests(observed: Observed, query: Query):
    samples = observed.values(query, "two_output")
    assert samples, query.for_models("two_output")
    assert {labels.get("model", "two_output") for labels, _ in samples} == {"two_output"}


@pytest.mark.parametrize("panel", EXPECTED)
def test_a_panel_tells_apart_what_it_promises(observed: Observed, panel: str):
    label, expected = EXPECTED[panel]
    asked = [query for query in dashboard.queries() if query.panel == panel]
    assert asked
    for query in asked:
        assert {labels.get(label) for labels, _ in observed.values(query, ALL)} >= expected, query.expression


def test_the_nan_rate_is_that_of_the_answers(observed: Observed):
    (query,) = [query for query in dashboard.queries() if query.panel == "Outputs: NaN rate"]
    rates = {labels["output"]: value for labels, value in observed.values(query, ALL)}
    # One NaN among the six values that square_root answers to each client in each round.
    assert rates["y"] == pytest.approx(1 / 6)
    assert rates["total"] == rates["difference"] == 0


def test_the_choice_of_models_lists_every_model(observed: Observed):
    assert set(observed.prometheus.get("label/model/values", **{"match[]": "kedge_model_ready"})) == {
        "square_root",
        "two_output",
    }


def test_every_rule_is_evaluated_and_every_recording_rule_records(observed: Observed):
    rules = [rule for group in observed.prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert rules
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    written = yaml.safe_load((CONFIGURATION / "rules" / "recording.yml").read_text())
    assert recorded == [rule["record"] for group in written["groups"] for rule in group["rules"]]
    for name in recorded:
        assert {labels.get("model") for labels, _ in observed.prometheus.query(name)} >= {"square_root", "two_output"}


def test_nan_answers_raise_the_alarm_for_their_model_alone(observed: Observed):
    alerts = observed.prometheus.query('ALERTS{alertstate="firing"}')
    assert {(labels["alertname"], labels["model"]) for labels, _ in alerts} == {("KedgeNanAnswers", "square_root")}


def test_a_server_that_ends_counts_as_down(observed: Observed):
    # The last test of this module: it stops the server.
    assert observed.server.stop() == 0
    alarm = 'ALERTS{alertname="KedgeDown"}'
    observed.prometheus.wait_for("the alarm", lambda: observed.prometheus.query(alarm) != [])
    assert [labels["alertstate"] for labels, _ in observed.prometheus.query(alarm)] == ["pending"]
