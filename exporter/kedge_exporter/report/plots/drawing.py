"""A plot as inline SVG: drawn by matplotlib, coloured by the page's style sheet. Imports matplotlib.

Neither pyplot nor a window system takes part, and the same numbers give the same text. matplotlib keeps a list of the
machine's fonts in `MPLCONFIGDIR`; the process that draws sets it to a scratch directory.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from kedge_exporter.report.markup import Html, text

INK, MUTED, LINE, BAND, BAD = "#010101", "#010102", "#010103", "#010104", "#010105"
"""Stand for the page's own colours, which are not the same in light and dark."""

SERIES = {"saved_model": ("#010111", "s"), "tflite": ("#010112", "^"), "onnx": ("#010113", "o")}
"""Colour and marker of each format: a format is known by either."""

_VARIABLES = {
    INK: "--ink", MUTED: "--muted", LINE: "--line", BAND: "--band", BAD: "--bad",
    "#010111": "--series-1", "#010112": "--series-2", "#010113": "--series-3",
}  # fmt: skip
_POINTS = 72
_LABEL_SIZE = 10.5
_SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "text.parse_math": False, "path.simplify": False}
_DIGITS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_TAG = re.compile(r"<[^>]*>")
_LONG_NUMBER = re.compile(r"(\d+\.\d)\d+")
_SPACE = re.compile(r"\s+")
_FONT = re.compile(r"font-family: [^;\"]*;? ?")
_ROOT = re.compile(r"<svg [^>]*>")
_VIEW_BOX = re.compile(r'viewBox="[^"]*"')
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*<style.*?</defs>", re.DOTALL)
_IDENTIFIER = re.compile(r'id="([^"]*)"')
_REFERENCE = re.compile(r'(?:xlink:)?href="#([^"]*)"|url\(#([^)]*)\)')
_MARKED = '<g id="{}">'
_USE = re.compile(r"<use ([^>]*)/>")


@dataclass(frozen=True)
class Sheet:
    """Where a plot stands, in units of the SVG, which are pixels where it is not scaled; margins hold the labels."""

    width: float
    height: float
    left: float
    right: float = 12
    top: float = 7
    bottom: float = 24

    def figure(self) -> tuple[Figure, Axes]:
        """An empty figure of this size with its axes."""
        figure = Figure(figsize=(self.width / _POINTS, self.height / _POINTS))
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        across, along = (self.left + self.right) / self.width, (self.top + self.bottom) / self.height
        axes = figure.add_axes((self.left / self.width, self.bottom / self.height, 1 - across, 1 - along))
        axes.patch.set_visible(False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LINE)
        axes.tick_params(colors=LINE, labelcolor=MUTED, labelsize=_LABEL_SIZE, length=3)
        axes.set_axisbelow(True)
        return figure, axes


def drawn(
    name: str,
    title: str,
    sheet: Sheet,
    draw: Callable[[Axes], None],
    hints: Mapping[str, Sequence[str]] | None = None,
) -> Html:
    """Draw one plot.

    Args:
        name: begins every identifier in it, so that no two plots of a page share one; letters, digits, hyphens.
        title: what it shows, for those who do not see it.
        sheet: its size.
        draw: given the axes.
        hints: `gid` of a line of markers -> what each marker says under the pointer.
    """
    written = io.StringIO()
    with mpl.rc_context():
        mpl.rcdefaults()  # no setting of the user's own
        mpl.rcParams.update(_SETTINGS)
        mpl.rcParams["svg.hashsalt"] = name
        figure, axes = sheet.figure()
        draw(axes)
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inlined(written.getvalue(), name, title, hints or {})


def power(exponent: int) -> str:
    """`10⁻⁷`, in characters that need no layout."""
    return "10" + str(exponent).translate(_DIGITS)


def _inlined(svg: str, name: str, title: str, hints: Mapping[str, Sequence[str]]) -> Html:
    svg = _DROPPED.sub("", svg[svg.index("<svg ") :])
    for gid, said in hints.items():
        svg = _with_hints(svg, gid, said)
    svg = _TAG.sub(lambda tag: _LONG_NUMBER.sub(r"\1", _SPACE.sub(" ", tag[0])), svg)
    svg = _FONT.sub("", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    referred = {one or other for one, other in _REFERENCE.findall(svg)}
    svg = _IDENTIFIER.sub(lambda found: f'id="{name}-{found[1]}"' if found[1] in referred else "", svg)
    svg = _REFERENCE.sub(lambda found: _renamed(found, name), svg)
    box = _VIEW_BOX.search(svg)
    head = f'<svg class="plot" role="img" aria-labelledby="{name}-title" {box[0] if box else ""}>'
    svg = _ROOT.sub(lambda _: f'{head}<title id="{name}-title">{text(title)}</title>', svg, count=1)
    return Html(re.sub(r">\s+<", "><", svg).strip().replace("<g >", "<g>"))


def _renamed(found: re.Match[str], name: str) -> str:
    return f'href="#{name}-{found[1]}"' if found[1] else f"url(#{name}-{found[2]})"


def _with_hints(svg: str, gid: str, said: Sequence[str]) -> str:
    """Give every marker of one line its words."""
    begin = svg.index(_MARKED.format(gid))
    before, group = svg[:begin], svg[begin:]
    waiting = iter(said)

    def worded(use: re.Match[str]) -> str:
        words = next(waiting, None)
        return use[0] if words is None else f"<use {use[1]}><title>{text(words)}</title></use>"

    return before + _USE.sub(worded, group, count=len(said))
