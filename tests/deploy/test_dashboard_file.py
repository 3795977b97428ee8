"""The dashboard's file: what a reader and Grafana expect of every panel, and what provisions it."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import dashboard

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"


@pytest.mark.parametrize("panel", dashboard.panels(), ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows(panel: dict[str, Any]):
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert "\n" not in panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for source in (panel, *panel["targets"]):
        assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_titles_and_numbers_are_unique_and_no_panel_lies_on_another():
    panels = dashboard.document()["panels"]
    for key in ("id", "title"):
        assert len({panel[key] for panel in panels}) == len(panels)
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_the_rows_are_those_that_people_look_for():
    rows = [panel["title"] for panel in dashboard.document()["panels"] if panel["type"] == "row"]
    assert rows == ["Now", "Latency", "Traffic", "NaN rate", "Inputs", "Models and servers"]
    assert {panel["row"] for panel in dashboard.panels()} == set(rows)


def test_the_variables_are_the_data_source_and_the_model():
    data_source, model = dashboard.document()["templating"]["list"]
    assert (data_source["name"], data_source["type"], data_source["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert (model["name"], model["query"]["query"]) == ("model", "label_values(kedge_model_ready, model)")
    assert (model["allValue"], model["includeAll"], model["multi"]) == (".*", True, True)


def test_grafana_is_provisioned_with_the_data_source_and_the_folder_of_the_dashboard():
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    prometheus = yaml.safe_load((GRAFANA.parent / "prometheus" / "prometheus.yml").read_text())
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "kedge.yaml").read_text())["providers"]
    compose = yaml.safe_load((GRAFANA.parent / "compose.yaml").read_text())
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in compose["services"]["grafana"]["volumes"]
