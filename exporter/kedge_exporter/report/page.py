"""`report.html`: one file that needs nothing else, for people; `parity.json` is the same for programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from kedge_bundle.memory import importing
from kedge_exporter.report.data import ReportData
from kedge_exporter.report.errors import logits_section
from kedge_exporter.report.facts import inputs_section, sizes_section, toolchain_section
from kedge_exporter.report.fidelity import fidelity_section
from kedge_exporter.report.markup import Html, element
from kedge_exporter.report.method import advice_section, method_section, sensitivity_section
from kedge_exporter.report.model_graph import graph_section
from kedge_exporter.report.numbers import counted
from kedge_exporter.report.summary import cards, sentence

FILE_NAME = "report.html"

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing at all, and no script runs, whatever the model's file says."""

_LINKS = {
    "advice": "worth knowing", "errors": "errors", "histograms": "histograms", "logits": "logits", "layers": "layers",
    "sensitivity": "sensitivity", "fidelity": "fidelity",
    "sizes": "size and latency", "method": "method", "inputs": "inputs",
    "graph": "model", "toolchain": "toolchain",
}  # fmt: skip


def write_report(directory: Path, data: ReportData) -> None:
    """Write `report.html` into a bundle that is being made.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    Report(data).write(directory, data.manifest.version)


def render(data: ReportData) -> str:
    """The page as HTML."""
    return Report(data).html(data.manifest.version)


def make_ready() -> None:
    """Import what draws: a third of a second, well spent where a proof is waited for."""
    with importing():
        import_module("kedge_exporter.report.figures")


@dataclass(frozen=True)
class Report:
    """A page whose version is known last: two exports at once take turns. What is drawn is drawn once."""

    data: ReportData

    def write(self, directory: Path, version: int) -> None:
        """Write `report.html` as that of this version of the model.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        (directory / FILE_NAME).write_text(self.html(version), "utf-8")

    def html(self, version: int) -> str:
        """The page as that of this version of the model."""
        title = f"{self.data.manifest.name}, version {version}"
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", f"{title}: parity report"),
            element("style", _style()),
        )
        links = [element("a", _LINKS[name], href=f"#{name}") for name in self._sections]
        nav = element("nav", *links, aria_label="Sections")
        main = element("main", _header(self.data, version), nav, *self._sections.values())
        footer = element("footer", "Every number here is from parity.json and manifest.json beside this page.")
        return f"<!DOCTYPE html>\n{element('html', head, element('body', main, footer), lang='en')}\n"

    @cached_property
    def _sections(self) -> dict[str, Html]:
        return dict(_sections(self.data))


def _header(data: ReportData, version: int) -> Html:
    manifest = data.manifest
    return element(
        "header",
        element("p", element("b", manifest.name), f" version {version} · {_moment(manifest.created)}", class_="aside"),
        element("h1", sentence(data)),
        cards(data),
        element("p", *_scope(data), class_="scope"),
    )


def _sections(data: ReportData) -> Iterator[tuple[str, Html]]:
    from kedge_exporter.report.figures import (  # noqa: PLC0415 (matplotlib comes in with it, and is needed only now)
        errors_section,
        histograms_section,
        layers_section,
    )

    made = {
        "advice": advice_section, "errors": errors_section, "histograms": histograms_section,
        "logits": logits_section, "layers": layers_section, "sensitivity": sensitivity_section,
        "fidelity": fidelity_section,
        "sizes": sizes_section, "method": method_section, "inputs": inputs_section, "graph": graph_section,
        "toolchain": toolchain_section,
    }  # fmt: skip
    for name, make in made.items():
        content = make(data)
        if content is not None:
            yield name, content


def _scope(data: ReportData) -> Iterator[str]:
    """How much was compared, in one line."""
    reports = [report for _, report in data.sessions]
    cases = max((len(report.cases) for report in reports), default=0)
    values = sum(output.values for report in reports for case in report.cases for output in case.outputs)
    tolerance = "no tolerance" if data.proof.tolerance is None else "an explicit tolerance"
    compared = f"{counted(cases, 'case')}, {counted(values, 'value')} in {counted(len(reports), 'session')}"
    yield f"{compared}; {tolerance}; seed {data.proof.seed}."


def _moment(created: str) -> str:
    """`2026-01-31 12:00 UTC` of `2026-01-31T12:00:00Z`."""
    return created.replace("T", " ").removesuffix("Z").rpartition(":")[0] + " UTC"


def _style() -> Html:
    return Html(files("kedge_exporter.report").joinpath("page.css").read_text("utf-8"))
