"""How many values of one output err by how much: each format's, over Keras' own."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from kedge_bundle.histogram import LOWEST, PER_DECADE, ErrorHistogram
from kedge_exporter.report.markup import Html
from kedge_exporter.report.plots.drawing import BAND, LINE, MUTED, SERIES, Sheet, drawn, power
from kedge_exporter.report.plots.scale import ErrorScale

_SHEET = Sheet(350, 180, left=40)
_HALF = 0.5 / PER_DECADE
_HEADROOM = 1.12


def histogram_plot(name: str, title: str, keras: ErrorHistogram, by_format: Mapping[str, ErrorHistogram]) -> Html:
    """Errors from left to right in half decades, the share of values upwards; no error at all stands at the left."""
    every = [keras, *by_format.values()]
    filled = [place for one in every for place, count in enumerate(one.counts) if count]
    first, last = (min(filled), max(filled) + 1) if filled else (0, 1)
    scale = ErrorScale.of([10.0 ** _edge(first), 10.0 ** _edge(last)])
    edges = [_edge(place) for place in range(first, last + 1)]

    def draw(axes: Axes) -> None:
        ticks, highest = scale.ticks(), max(max(_shares(one, first, last)) for one in every)
        high = (highest or 1) * _HEADROOM
        axes.set_xlim(scale.zero - 0.5, scale.high + 0.1)
        axes.set_ylim(0, high)
        axes.set_xticks([scale.zero, *ticks], ["0", *map(power, ticks)])
        marks = _marks(high)
        axes.set_yticks(marks, [f"{mark:.0%}" for mark in marks])
        axes.grid(visible=True, axis="y", color=LINE, linewidth=0.6)
        equal, *counts = _shares(keras, first, last)
        axes.stairs(counts, edges, fill=True, color=BAND)
        axes.stairs(counts, edges, color=MUTED, linewidth=1)
        axes.bar(scale.zero, equal, width=2 * _HALF, color=BAND, edgecolor=MUTED, linewidth=1)
        for one, histogram in by_format.items():
            colour, marker = SERIES[one]
            equal, *counts = _shares(histogram, first, last)
            axes.stairs(counts, edges, color=colour, linewidth=1.6)
            axes.plot([scale.zero], [equal], marker, color=colour, markersize=5.5, markeredgewidth=0, clip_on=False)

    return drawn(name, title, _SHEET, draw)


def _edge(place: int) -> float:
    return LOWEST + place / PER_DECADE


def _shares(one: ErrorHistogram, first: int, last: int) -> list[float]:
    """Of values that are equal, and of those in each bin."""
    return [count / max(one.values, 1) for count in (one.equal, *one.counts[first:last])]


def _marks(high: float) -> Sequence[float]:
    step = next((step for step in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if high / step <= 5), 0.5)  # noqa: PLR2004 (as many marks as are easily read)
    return [step * place for place in range(int(high / step) + 1)]
