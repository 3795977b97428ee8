"""The plots as text: real figures of matplotlib, read as XML."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from kedge_bundle.histogram import ErrorHistogram
from kedge_exporter.culprit.curve import LayerError
from kedge_exporter.report.markup import Html
from kedge_exporter.report.plots.histograms import histogram_plot
from kedge_exporter.report.plots.kinds import KindErrors, kinds_plot
from kedge_exporter.report.plots.layers import layers_plot
from kedge_exporter.report.plots.scale import ErrorScale

KINDS = [("typical", 1e-7, 9e-7, {"onnx": 2e-7, "tflite": 3e-7}), ("zeros", 0.0, 9e-7, {"onnx": 0.0, "tflite": 0.0})]


def kinds(name: str = "errors-0") -> Html:
    return kinds_plot(name, "Errors of 'a<b'", [KindErrors(*row) for row in KINDS])


def histogram(errors: list[float]) -> Html:
    counted = ErrorHistogram.of(np.array(errors))
    return histogram_plot("values-0", "Values", counted, {"onnx": counted, "saved_model": ErrorHistogram()})


def layers(*errors: float | None) -> Html:
    found = [
        LayerError(
            layer=f"<layer>{place}",
            class_name="Dense",
            covers=(),
            tensor="",
            shape=(),
            cumulative_error=1e-7 * (place + 1),
            cumulative_keras_error=None if place == 1 else 1e-7,
            local_error=error,
            local_allowed=None if error is None else 1e-6,
        )
        for place, error in enumerate(errors)
    ]
    return layers_plot("layers-0", "Layers", "onnx", found)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter("text")]  # noqa: S314 (our own)


PLOTS = {
    "kinds": kinds,
    "histogram": lambda: histogram([0, 0, 1e-8, 3e-7]),
    "histogram of equal values": lambda: histogram([0, 0]),
    "histogram of nothing": lambda: histogram([]),
    "layers": lambda: layers(1e-8, None, 0.0, 1e-3),
    "one layer": lambda: layers(None),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_whole_has_a_title_and_takes_its_colours_from_the_page(name: str):
    svg = PLOTS[name]()
    root = ET.fromstring(svg)  # noqa: S314 (our own)
    assert root.get("role") == "img"
    title = root.find("title")
    assert title is not None
    assert root.get("aria-labelledby") == title.get("id")
    assert not re.search(r"#[0-9a-f]{6}\b", svg), "a colour of its own"
    assert "DejaVu" not in svg
    assert "xlink" not in svg
    assert not list(root.iter("style"))
    assert not list(root.iter("metadata"))
    assert len(svg) < 60_000


def test_the_same_numbers_give_the_same_text():
    assert kinds() == kinds()


def test_two_plots_of_one_page_share_no_identifier_and_every_reference_has_its_target():
    first, second = kinds("errors-0"), kinds("errors-1")
    identifiers = [re.findall(r'\bid="([^"]*)"', svg) for svg in (first, second)]
    assert not set(identifiers[0]) & set(identifiers[1])
    for svg, own in ((first, identifiers[0]), (second, identifiers[1])):
        assert len(own) == len(set(own))
        referred = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)|aria-labelledby="([^"]*)"', svg))
        assert {next(filter(None, one)) for one in referred} == set(own)


def test_the_kinds_stand_at_the_side_and_no_error_at_all_has_a_place():
    assert texts(kinds()) == ["0", "10⁻⁷", "10⁻⁶", "10⁻⁵", "typical", "zeros"]


def test_markers_say_their_numbers():
    hints = re.findall(r"<use [^>]*><title>([^<]*)</title></use>", kinds())
    assert hints == ["tflite, typical: 3.00e-7", "tflite, zeros: 0", "onnx, typical: 2.00e-7", "onnx, zeros: 0"]


def test_the_layer_that_is_out_of_its_budget_is_marked_and_named():
    svg = layers(1e-8, None, 0.0, 1e-3)
    hints = re.findall(r"<use [^>]*><title>([^<]*)</title></use>", svg)
    assert hints == [
        "1. &lt;layer&gt;0 (Dense): 1.00e-8", "3. &lt;layer&gt;2 (Dense): 0", "4. &lt;layer&gt;3 (Dense): 1.00e-3",
    ]  # fmt: skip
    assert svg.count("var(--bad)") >= 1
    assert "var(--bad)" not in layers(1e-8)


def test_a_scale_spans_the_errors_and_puts_zero_below():
    scale = ErrorScale.of([None, 0.0, 3e-9, 2e-4])
    assert (scale.low, scale.high) == (-9, -3)
    assert scale.zero < scale.low
    assert scale.place(0) == scale.zero
    assert scale.place(1e-6) == pytest.approx(-6)
    assert scale.place(float("inf")) == scale.high
    assert ErrorScale.of([]).low < ErrorScale.of([]).high
    assert len(ErrorScale.of([1e-300, 1.0]).ticks()) <= 7


def test_drawing_leaves_nothing_in_the_home_and_takes_no_setting_from_there(tmp_path: Path):
    home, scratch, here = (tmp_path / name for name in ("home", "scratch", "here"))
    for directory in (home, scratch, here):
        directory.mkdir()
    (here / "matplotlibrc").write_text("lines.linewidth: 40\nsvg.fonttype: path\naxes.facecolor: red\n")
    program = "from tests.exporter.report.test_plots import kinds; print(kinds())"
    environment = {**os.environ, "HOME": str(home), "MPLCONFIGDIR": str(scratch), "PYTHONPATH": str(Path.cwd())}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=here, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == kinds()
    assert list(home.rglob("*")) == []
