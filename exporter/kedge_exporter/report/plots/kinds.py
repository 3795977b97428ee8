"""The errors of one output by kind of case: each format's, beside Keras' own and what is allowed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from kedge_exporter.report.markup import Html
from kedge_exporter.report.numbers import scientific
from kedge_exporter.report.plots.drawing import BAND, INK, LINE, MUTED, SERIES, Sheet, drawn, power
from kedge_exporter.report.plots.scale import ErrorScale

_WIDTH, _ROW, _LEFT, _AROUND = 350, 26, 62, 31
_SPREAD = 0.24
"""How far the formats of one row are apart, in rows."""


@dataclass(frozen=True)
class KindErrors:
    """The largest errors of one output in the cases of one kind, by the size of the channel.

    Attributes:
        by_format: the artifact's; formats that were not measured are missing.
    """

    kind: str
    keras: float | None
    allowed: float | None
    by_format: Mapping[str, float]


def kinds_plot(name: str, title: str, rows: Sequence[KindErrors]) -> Html:
    """Kinds from top to bottom, errors from left to right."""
    numbers = [error for row in rows for error in (row.keras, row.allowed, *row.by_format.values())]
    scale = ErrorScale.of(numbers)
    formats = [one for one in SERIES if any(one in row.by_format for row in rows)]

    def draw(axes: Axes) -> None:
        axes.set_xlim(scale.zero - 0.3, scale.high + 0.1)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        ticks = scale.ticks()
        axes.set_xticks([scale.zero, *ticks], ["0", *map(power, ticks)])
        axes.set_yticks(range(len(rows)), [row.kind for row in rows], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=True, axis="x", color=LINE, linewidth=0.6)
        for place, row in enumerate(rows):
            if row.allowed is not None:
                width = scale.place(row.allowed) - scale.zero + 0.3
                axes.barh(place, width, left=scale.zero - 0.3, height=0.72, color=BAND, linewidth=0)
            if row.keras is not None:
                at = scale.place(row.keras)
                axes.plot([at, at], [place - 0.36, place + 0.36], color=MUTED, linewidth=2.2)
        for order, one in enumerate(formats):
            colour, marker = SERIES[one]
            offset = (order - (len(formats) - 1) / 2) * _SPREAD
            points = [
                (scale.place(row.by_format[one]), place + offset)
                for place, row in enumerate(rows)
                if one in row.by_format
            ]
            axes.plot(*zip(*points, strict=True), marker, color=colour, markersize=5.5, markeredgewidth=0, gid=one)

    hints = {
        one: [f"{one}, {row.kind}: {scientific(row.by_format[one])}" for row in rows if one in row.by_format]
        for one in formats
    }
    return drawn(name, title, Sheet(_WIDTH, _AROUND + _ROW * len(rows), _LEFT), draw, hints)
