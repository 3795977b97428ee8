"""The notebooks' view of a published bundle: a fragment of HTML that needs nothing else, on light and on dark pages."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from kedge_exporter.request import Exported
from kedge_exporter.result_table import table_lines
from kedge_exporter.result_text import outcome_line, reproduced
from kedge_exporter.wording import in_python

_STYLE = """
.kedge { color: inherit; font: 13px/1.5 system-ui, sans-serif; max-width: 60em; overflow-x: auto; }
.kedge table { border-collapse: collapse; color: inherit; font: inherit; margin: .4em 0; }
.kedge th, .kedge td { background: none; border-bottom: 1px solid rgba(128, 128, 128, .4); color: inherit;
  padding: .25em .8em; text-align: left; white-space: nowrap; }
.kedge .number { font-variant-numeric: tabular-nums; text-align: right; }
.kedge .verdict { background: #1a7f37; border-radius: .8em; color: #fff; padding: .05em .7em; }
.kedge .tolerance { background: #0a5ec2; }
.kedge .failed { background: #b3261e; }
.kedge ul { margin: .4em 0; padding-left: 1.4em; }
.kedge .aside { opacity: .8; }
.kedge a { color: inherit; }
"""
"""Colours of the text and of the page are the page's own, whether it is light or dark; only verdicts bring theirs."""

_CLASSES = {
    "bit-exact": "verdict",
    "rounding-equivalent": "verdict",
    "within-tolerance": "verdict tolerance",
    "within-fidelity": "verdict tolerance",
    "failed": "verdict failed",
}
_REPORT = "report.html"
_COLUMNS = re.compile(r" {2,}")
_NUMBER = re.compile(r"-|equal|[\d.,e+-]+%?")


def result_html(exported: Exported) -> str:
    """The table of the artifacts, the model's inputs and outputs, what there is to say of it, and where it lies."""
    title = f"{exported.name}, version {exported.version}"
    said = [
        *reproduced(exported),
        *(f"warning: {advice.code}: {advice.message}" for advice in exported.warnings),
        *(f"note: {note}" for note in exported.notes),
    ]
    names = [", ".join(side) for side in (exported.signature.input_names, exported.signature.output_names)]
    return (
        f'<div class="kedge"><style>{_STYLE}</style>'
        f"<strong>{escape(title)}</strong> "
        f'<span class="aside">{escape(names[0])} → {escape(names[1])}</span>'
        f"{_table([_COLUMNS.split(line.strip()) for line in table_lines(exported.formats)])}"
        f"{_list(said)}"
        f'<div class="aside">{escape(in_python(outcome_line(exported)))}</div>'
        f"{_link(exported.bundle / _REPORT)}</div>"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the header; columns of numbers stand to the right."""
    is_number = [all(_NUMBER.fullmatch(cell) for cell in column[1:]) for column in zip(*rows, strict=True)]
    header = "".join(
        f'<th class="number">{escape(cell)}</th>' if number else f"<th>{escape(cell)}</th>"
        for cell, number in zip(rows[0], is_number, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, is_number=number) for cell, number in zip(row, is_number, strict=True)) + "</tr>"
        for row in rows[1:]
    )
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str, *, is_number: bool) -> str:
    if text in _CLASSES:
        return f'<td><span class="{_CLASSES[text]}">{escape(text)}</span></td>'
    return f'<td class="number">{escape(text)}</td>' if is_number else f"<td>{escape(text)}</td>"


def _link(report: Path) -> str:
    """To the report, where the bundle has one; seen from the notebook's folder, unless the path is a whole one."""
    if not report.is_file():
        return ""
    address = report.as_uri() if report.is_absolute() else quote(report.as_posix())
    return f'<div><a href="{escape(address)}">report</a></div>'


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(in_python(line))}</li>' for line in lines)}</ul>" if lines else ""
