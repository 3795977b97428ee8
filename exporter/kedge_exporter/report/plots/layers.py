"""How the error of one artifact grows from layer to layer, beside Keras' own."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from kedge_exporter.culprit.curve import LayerError
from kedge_exporter.report.markup import Html
from kedge_exporter.report.numbers import scientific
from kedge_exporter.report.plots.drawing import BAD, LINE, MUTED, SERIES, Sheet, drawn, power
from kedge_exporter.report.plots.scale import ErrorScale

_SHEET = Sheet(720, 210, left=44)
_MOST_TICKS = 12


def layers_plot(name: str, title: str, format_name: str, layers: Sequence[LayerError]) -> Html:
    """Layers from left to right by their number in the table, errors upwards."""
    scale = ErrorScale.of(
        error
        for one in layers
        for error in (one.cumulative_error, one.cumulative_keras_error, one.local_error, one.local_allowed)
    )
    colour, marker = SERIES[format_name]
    keras = [
        (n, one.cumulative_keras_error) for n, one in enumerate(layers, 1) if one.cumulative_keras_error is not None
    ]
    local = [(n, one.local_error, one) for n, one in enumerate(layers, 1) if one.local_error is not None]

    def draw(axes: Axes) -> None:
        axes.set_xlim(0.5, len(layers) + 0.5)
        axes.set_ylim(scale.zero - 0.3, scale.high + 0.2)
        ticks = scale.ticks()
        axes.set_yticks([scale.zero, *ticks], ["0", *map(power, ticks)])
        step = -(-len(layers) // _MOST_TICKS)
        axes.set_xticks(range(1, len(layers) + 1, step), [str(n) for n in range(1, len(layers) + 1, step)])
        axes.grid(visible=True, axis="y", color=LINE, linewidth=0.6)
        if keras:
            axes.plot([n for n, _ in keras], [scale.place(e) for _, e in keras], color=MUTED, linewidth=2.2)
        numbers = range(1, len(layers) + 1)
        axes.plot(numbers, [scale.place(one.cumulative_error) for one in layers], color=colour, linewidth=1.6)
        for gid, is_right in (("right", True), ("wrong", False)):
            if points := [
                (n, scale.place(e)) for n, e, one in local if (one.is_within_budget is not False) == is_right
            ]:
                face = colour if is_right else BAD
                axes.plot(
                    *zip(*points, strict=True),
                    marker if is_right else "X",
                    color=face,
                    markersize=4.5 if is_right else 9,
                    markeredgewidth=0,
                    gid=gid,
                )

    hints = {
        gid: said
        for gid, is_right in (("right", True), ("wrong", False))
        if (said := [_said(n, e, one) for n, e, one in local if (one.is_within_budget is not False) == is_right])
    }
    return drawn(name, title, _SHEET, draw, hints)


def _said(place: int, error: float, one: LayerError) -> str:
    return f"{place}. {one.layer} ({one.class_name}): {scientific(error)}"
