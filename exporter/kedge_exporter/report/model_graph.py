"""The section with the model's graph: one row for every call, with the lines between them drawn beside the rows."""

from kedge_exporter.report.data import GraphNode, ReportData
from kedge_exporter.report.markup import Html, element, join
from kedge_exporter.report.numbers import counted
from kedge_exporter.report.rails import Row, dot_of, path_of, rows_of, width_of
from kedge_exporter.report.sections import explained, folded, section

_STEP = 14
"""Pixels between two lanes."""

_MOST_ROWS, _MOST_LANES, _OPEN_UP_TO = 2000, 24, 24


def graph_section(data: ReportData) -> Html | None:
    """The graph; None where nothing is known of it."""
    if not data.graph:
        return None
    shown = data.graph[:_MOST_ROWS]
    is_joined = any(node.inputs for node in shown)
    weights = "" if data.parameters is None else f", {counted(data.parameters, 'weight')}"
    return section(
        "graph",
        "The model",
        explained(_explanation(data, is_joined=is_joined)),
        folded(
            f"{counted(len(data.graph), 'call' if is_joined else 'layer')}{weights}",
            element("ol", *_rows(shown), class_="graph"),
            None if len(shown) == len(data.graph) else element("p", f"The first {_MOST_ROWS:,} are shown."),
            is_open=len(data.graph) <= _OPEN_UP_TO,
        ),
    )


def _explanation(data: ReportData, *, is_joined: bool) -> str:
    if is_joined:
        return "From the inputs down to the outputs: every call of a layer, with the shape of what it answers."
    if len(data.graph) == 1:
        return "One layer."
    return (
        "The model is a class of its own: here are its layers in the order in which they were made; what reads what is "
        "decided by its code."
    )


def _rows(nodes: tuple[GraphNode, ...]) -> list[Html]:
    rows = rows_of(nodes)
    lanes = width_of(rows)
    if lanes > _MOST_LANES or not any(row.is_read for row in rows):  # what each row reads is written out
        return [_row(row, None, before) for row, before in zip(rows, _before(nodes), strict=True)]
    return [_row(row, lanes, before) for row, before in zip(rows, _before(nodes), strict=True)]


def _before(nodes: tuple[GraphNode, ...]) -> list[str]:
    return ["", *(node.name for node in nodes[:-1])]


def _row(row: Row, lanes: int | None, before: str) -> Html:
    node = row.node
    within, _, name = node.name.rpartition("/")
    reads = None if node.inputs in ((), (before,)) else "reads " + ", ".join(node.inputs)
    return element(
        "li",
        None if lanes is None else _drawing(row, lanes),
        element(
            "div",
            element("b", element("i", f"{within}/") if within else None, name),
            element("span", node.class_name, class_="kind"),
            element("span", node.shape, class_="shape") if node.shape else None,
            element("span", counted(node.parameters, "weight") if node.parameters else None, class_="weights"),
            element("span", reads, class_="reads") if reads else None,
        ),
    )


def _drawing(row: Row, lanes: int) -> Html:
    width = lanes * _STEP
    place = "end" if not row.is_read else "start" if not row.node.inputs else None
    return element(
        "svg",
        join([element("path", d=path_of(row, _STEP)), element("path", d=dot_of(row, _STEP), class_="dot")]),
        class_=f"rails {place}" if place else "rails",
        viewBox=f"0 0 {width} 10",
        preserveAspectRatio="none",
        width=width,
        aria_hidden="true",
    )
