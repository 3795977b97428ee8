"""The sections with plots: the errors of every output, their histograms, and the layer-by-layer curve."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kedge_exporter.culprit.curve import LayerCurve, LayerError, culprit, describe
from kedge_exporter.report.data import ReportData
from kedge_exporter.report.errors import error_tables
from kedge_exporter.report.findings import findings, kind_of
from kedge_exporter.report.markup import Html, element, join
from kedge_exporter.report.numbers import counted, number
from kedge_exporter.report.plots.histograms import histogram_plot
from kedge_exporter.report.plots.kinds import KindErrors, kinds_plot
from kedge_exporter.report.plots.layers import layers_plot
from kedge_exporter.report.sections import explained, folded, row, section, table
from kedge_exporter.report.verdicts import title_of

if TYPE_CHECKING:
    from kedge_bundle.histogram import OutputHistogram

_MOST_PLOTS = 6
"""Of each sort: a plot takes a tenth of a second, and nobody looks at twenty."""

_MOST_LAYERS = 400
_SIGNS = {"saved_model": "■", "tflite": "▲", "onnx": "●"}


def errors_section(data: ReportData) -> Html:
    """Every format's error against Keras' own, by output and kind of case."""
    outputs = _outputs(data)
    plots = [
        _figure(output, kinds_plot(f"errors-{place}", f"Errors of the output '{output}' by kind of case", rows))
        for place, (output, rows) in enumerate(list(outputs.items())[:_MOST_PLOTS])
    ]
    return section(
        "errors",
        "Error against Keras' own rounding",
        explained(
            "Keras rounds, too: its answers in float32 are a little way from the truth, which is the same model in "
            "float64. An artifact may be a little way off as well; it may not be much further off."
        )
        if outputs
        else explained("No output has a reference in float64: what was compared are Keras' own answers."),
        _legend(data, "Keras itself", "what is allowed") if plots else None,
        element("div", *plots, class_="plots") if plots else None,
        _left_out(len(outputs), "outputs"),
        error_tables(data),
    )


def histograms_section(data: ReportData) -> Html | None:
    """How many values err by how much."""
    by_output: dict[str, list[OutputHistogram]] = {}
    for _, report in data.serving:
        for one in report.histograms:
            by_output.setdefault(one.output, []).append(one)
    if not by_output:
        return None
    plots = [
        _figure(
            output,
            histogram_plot(
                f"values-{place}",
                f"Share of the values of '{output}' by error",
                entries[0].keras,
                {one.format: one.artifact for one in entries},
            ),
        )
        for place, (output, entries) in enumerate(list(by_output.items())[:_MOST_PLOTS])
    ]
    return section(
        "histograms",
        "How many values err by how much",
        explained(
            "Each value of every answer, by its distance from the truth. Where the outlines lie on the grey, the "
            "artifact rounds as Keras does."
        ),
        _legend(data, "Keras itself"),
        element("div", *plots, class_="plots"),
        _left_out(len(by_output), "outputs"),
    )


def layers_section(data: ReportData) -> Html | None:
    """Where in the model the error comes from."""
    if not data.layers:
        return None
    has_alone = any(_alone(curve) for curve in data.layers)
    return section(
        "layers",
        "Layer by layer",
        explained(
            "The line is the error of the whole network up to a layer, by the size of the channel; grey is Keras.",
            " The marks are a layer's own error, fed with what the reference gives it." if has_alone else None,
        ),
        *(_curve(curve, place) for place, curve in enumerate(data.layers)),
    )


def _outputs(data: ReportData) -> dict[str, list[KindErrors]]:
    """Of every output with a reference its errors by kind, in the order of the cases; the worst outputs first."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    allowed: dict[tuple[str, str], float] = {}
    used: dict[str, float] = {}
    for at, report in data.serving:
        for one in findings(report, at):
            if one.output.error is None:
                continue
            name, kind = one.output.output, kind_of(one.case)
            by_format = found.setdefault(name, {}).setdefault(kind, {})
            by_format[report.format] = max(by_format.get(report.format, 0.0), one.output.error)
            allowed[name, kind] = max(allowed.get((name, kind), 0.0), one.output.allowed or 0.0)
            used[name] = max(used.get(name, 0.0), one.used)
    own = data.proof.reference.own
    return {
        name: [
            KindErrors(kind, own.get(name, {}).get(kind), allowed[name, kind], by_format)
            for kind, by_format in found[name].items()
        ]
        for name in sorted(found, key=lambda name: -used[name])
    }


def _curve(curve: LayerCurve, place: int) -> Html:
    title = title_of(curve.format)
    if not curve.layers:
        return join([element("h3", title), element("p", _sentence(curve.reason or "no layer has a tensor of its own"))])
    plot = layers_plot(f"layers-{place}", f"Errors of {title} from layer to layer", curve.format, curve.layers)
    unseen = [element("li", element("b", one.layer), f" ({one.class_name}): {one.why}") for one in curve.unseen]
    return join(
        [
            element("h3", title),
            _said_of(curve),
            element("div", plot, class_="scroll wide", tabindex=0, role="region", aria_label=f"Curve of {title}"),
            folded(f"{counted(len(curve.layers), 'layer')} of {title} in numbers", *_layer_table(curve, place)),
            folded(f"{counted(len(unseen), 'layer')} that {title} has no tensor of", element("ul", *unseen))
            if unseen
            else None,
        ]
    )


def _alone(curve: LayerCurve) -> bool:
    return any(one.local_error is not None for one in curve.layers)


def _said_of(curve: LayerCurve) -> Html | None:
    first = culprit(curve)
    if first is None:
        return element("p", "Every layer, alone, rounds as Keras does.") if _alone(curve) else None
    return element("p", _sentence(describe(first)))


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:].rstrip('.')}."


def _layer_table(curve: LayerCurve, place: int) -> Iterator[Html]:
    head = ["layer", "class", "error so far", "Keras' own", "its own error", "Keras' own", "allowed"]
    shown = curve.layers[:_MOST_LAYERS]
    rows = [_layer(one, n, f"/layers/{place}/layers/{n - 1}") for n, one in enumerate(shown, 1)]
    yield table(head, rows, f"The layers of {title_of(curve.format)}", numbers_from=2)
    if len(shown) < len(curve.layers):
        yield explained(f"{len(curve.layers) - len(shown):,} more layers are in parity.json.")


def _layer(one: LayerError, place: int, at: str) -> Html:
    return row(
        f"{place}. {one.layer}",
        one.class_name,
        number(one.cumulative_error, "cumulative_error"),
        number(one.cumulative_keras_error, "cumulative_keras_error"),
        number(one.local_error, "local_error"),
        number(one.local_keras_error, "local_keras_error"),
        number(one.local_allowed, "local_allowed"),
        numbers_from=2,
        at=at,
    )


def _figure(output: str, plot: Html) -> Html:
    return element("figure", element("figcaption", "output ", element("b", output)), plot)


def _legend(data: ReportData, keras: str, allowed: str | None = None) -> Html:
    formats = [one.format for one in data.manifest.artifacts if one.quantization == "none"]
    signs = [
        element("li", element("span", _SIGNS[one], class_=f"sign {one}", aria_hidden="true"), title_of(one))
        for one in formats
    ]
    return element(
        "ul",
        *signs,
        element("li", element("span", class_="sign keras", aria_hidden="true"), keras),
        element("li", element("span", class_="sign band", aria_hidden="true"), allowed) if allowed else None,
        class_="legend",
    )


def _left_out(count: int, what: str) -> Html | None:
    if count <= _MOST_PLOTS:
        return None
    return explained(f"{count - _MOST_PLOTS:,} more {what} have no plot; their numbers are in the tables.")
