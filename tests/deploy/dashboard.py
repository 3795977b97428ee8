"""The Grafana dashboard, read as Grafana reads it: rows, panels, queries with their variables put in."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "kedge.json"


@dataclass(frozen=True)
class Query:
    """One query of one panel."""

    row: str
    panel: str
    expression: str
    legend: str

    def __str__(self) -> str:
        return f"{self.row} / {self.panel} / {self.legend or self.expression}"

    def for_models(self, models: str) -> str:
        """The query as Grafana sends it with `models` chosen, over half a minute."""
        chosen = {"model": models, "__rate_interval": "30s"}
        asked = re.sub(r"\$(\w+)", lambda found: chosen[found[1]], self.expression)
        assert "$" not in asked, asked
        return asked


def document() -> dict[str, Any]:
    """The dashboard's JSON."""
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def panels() -> list[dict[str, Any]]:
    """Every panel that shows data, in order, with the title of its row under `row`."""
    found, row = [], ""
    for panel in document()["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            assert panel["panels"] == [], "a collapsed row hides its panels from this reader"
        else:
            found.append(panel | {"row": row})
    return found


def queries() -> list[Query]:
    """Every query of every panel."""
    return [
        Query(panel["row"], panel["title"], target["expr"], target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]
