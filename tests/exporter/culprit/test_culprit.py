"""A fault planted in one layer of a converted file is found there, and nowhere in a right file."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from kedge_exporter.culprit.curve import LayerCurve, LayerError
from tests.exporter.conftest import run_module
from tests.exporter.culprit.cases import FORMATS, MODELS, PLANTED, Planted

LAYERS = {
    "convolutions": "folded folding rectified biased depthwise kept pooled turned flat dropped head",
    "dense": "wide normalized enlarged tamed head",
    "branches": "shared nest/inside right joined head shared#2",
    "recurrent": "both/forward_lstm both/backward_lstm both gated head",
}


@dataclass(frozen=True)
class Told:
    """What was told of one file."""

    curve: LayerCurve
    culprit: LayerError | None
    said: str | None

    @property
    def layers(self) -> dict[str, LayerError]:
        return {layer.layer: layer for layer in self.curve.layers}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    work = tmp_path_factory.mktemp("files")
    printed = run_module("tests.exporter.culprit.run_faults", work, work=tmp_path_factory.mktemp("work"))
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def told(lines: list[dict[str, Any]]) -> dict[str, Told]:
    return {line["key"]: _told(line) for line in lines if "key" in line}


@pytest.fixture(scope="module")
def calls(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["calls"]: line for line in lines if "calls" in line}


def _told(line: dict[str, str | None]) -> Told:
    culprit = line["culprit"]
    return Told(
        curve=LayerCurve.model_validate_json(str(line["curve"])),
        culprit=None if culprit is None else LayerError.model_validate_json(culprit),
        said=line["said"],
    )


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.fault}-{planted.layer}")
def test_the_layer_with_the_fault_is_named(told: dict[str, Told], planted: Planted, format_name: str) -> None:
    found = told[f"{planted.model} {format_name} {planted.fault} {planted.layer}"]
    assert found.culprit is not None, found.curve
    names = {name.partition("/")[0] for name in found.culprit.covers} | {*found.culprit.covers}
    assert planted.layer in names or f"nest/{planted.layer}" in names, found.said
    assert found.said is not None
    assert found.said.startswith(f"the first layer that differs is '{found.culprit.layer}'")


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.fault}-{planted.layer}")
def test_no_other_layer_is_accused(told: dict[str, Told], planted: Planted, format_name: str) -> None:
    """Each is fed with right inputs, those behind the fault as well; a weight that two calls share is wrong in both."""
    found = told[f"{planted.model} {format_name} {planted.fault} {planted.layer}"]
    accused = [layer.layer for layer in found.curve.layers if layer.is_within_budget is False]
    assert len(accused) == 1, found.curve


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("model", MODELS)
def test_a_right_file_has_no_culprit(told: dict[str, Told], model: str, format_name: str) -> None:
    right = told[f"{model} {format_name} right"]
    assert right.curve.reason == ""
    assert right.culprit is None, right.said
    assert all(layer.cumulative_error < 1e-5 for layer in right.curve.layers)
    assert all(layer.cumulative_keras_error is not None for layer in right.curve.layers)


@pytest.mark.parametrize(
    ("model", "format_name", "layers"),
    [
        ("convolutions", "onnx", "folding rectified biased depthwise kept pooled turned flat head"),
        ("convolutions", "tflite", "rectified biased kept pooled turned flat head"),
        ("dense", "onnx", "wide normalized enlarged tamed head"),
        ("dense", "tflite", "wide normalized enlarged tamed head"),
        ("branches", "onnx", "shared nest/inside right joined head shared#2"),
        ("branches", "tflite", "shared nest/inside right joined head shared#2"),
        ("recurrent", "onnx", "both gated head"),
        ("recurrent", "tflite", "both/forward_lstm both/backward_lstm both gated head"),
    ],
)
def test_the_layers_stand_in_the_order_of_their_calls(
    told: dict[str, Told], model: str, format_name: str, layers: str
) -> None:
    assert list(told[f"{model} {format_name} right"].layers) == layers.split()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("format_name", FORMATS)
def test_every_layer_is_seen_or_its_absence_explained(told: dict[str, Told], model: str, format_name: str) -> None:
    right = told[f"{model} {format_name} right"].curve
    named = {name for layer in right.layers for name in layer.covers} | {layer.layer for layer in right.unseen}
    assert named == set(LAYERS[model].split())


def test_what_a_converter_fused_is_told(told: dict[str, Told]) -> None:
    in_onnx, in_tflite = (told[f"convolutions {name} right"].layers for name in FORMATS)
    assert in_onnx["folding"].covers == ("folded", "folding")
    assert in_tflite["rectified"].covers == ("folded", "folding", "rectified")
    assert in_tflite["rectified"].shape == (2, 8, 8, 6)
    assert "Relu" in in_tflite["rectified"].tensor


def test_a_layer_that_passes_on_what_it_is_given_is_unseen(told: dict[str, Told]) -> None:
    (unseen,) = told["convolutions onnx right"].curve.unseen
    assert (unseen.layer, unseen.class_name) == ("dropped", "Dropout")
    assert unseen.why == "At inference it passes on what it is given."


def test_an_overflow_is_infinite_in_the_report_and_back(told: dict[str, Told]) -> None:
    found = told["dense onnx overflow enlarged"]
    assert found.culprit is not None
    assert found.culprit.local_error == float("inf")
    assert "infinity or NaN in other places than Keras" in str(found.said)


@pytest.mark.parametrize("format_name", FORMATS)
def test_keras_is_the_reference_where_nothing_computes_in_float64(told: dict[str, Told], format_name: str) -> None:
    right = told[f"convolutions {format_name} inexact"]
    assert (right.culprit, right.curve.is_exact, right.curve.reason) == (None, False, "")
    assert all(layer.local_keras_error is None for layer in right.curve.layers)
    found = told[f"convolutions {format_name} inexact dropped_bias biased"]
    assert found.culprit is not None
    assert found.culprit.layer == "biased"


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_curve_without_local_errors_accuses_nobody(told: dict[str, Told], format_name: str) -> None:
    curve, right = (told[f"convolutions {format_name} {how}"].curve for how in ("cumulative", "right"))
    assert [layer.cumulative_error for layer in curve.layers] == [layer.cumulative_error for layer in right.layers]
    assert all(layer.local_error is None and layer.is_within_budget is None for layer in curve.layers)


def test_a_model_of_one_row_is_given_one(told: dict[str, Told]) -> None:
    assert told["recurrent tflite right"].curve.rows == 1
    assert told["recurrent onnx right"].curve.rows == 2


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("saved_model", "it is the traced graph itself"),
        ("broken", "DecodeError"),
        ("broken tflite", "buffer"),
        ("four rows", "it runs 4 rows at a time, and the sample has 2"),
    ],
)
def test_where_there_is_no_curve_it_says_why(told: dict[str, Told], key: str, reason: str) -> None:
    curve = told[f"convolutions {key}"].curve
    assert reason in curve.reason
    assert curve.layers == ()


def test_every_call_is_noted_by_its_path_the_innermost_first(calls: dict[str, dict[str, Any]]) -> None:
    assert calls["branches"]["noted"] == [
        *("shared", "nest/inside", "nest", "right", "joined", "head", "shared#2", "branches"),
    ]


def test_what_runs_in_a_loop_is_not_noted(calls: dict[str, dict[str, Any]]) -> None:
    """A cell is traced once, and called for every step: its calls are not the same ones."""
    found = calls["recurrent"]
    assert found["noted"] == [*("both/forward_lstm", "both/backward_lstm", "both", "gated", "head", "recurrent")]
    assert found["seen"].count("gated") == 1
    assert any("cell" in name for name in found["seen"])


@pytest.mark.parametrize("model", MODELS)
def test_a_watcher_sees_its_own_thread_and_only_while_it_watches(calls: dict[str, dict[str, Any]], model: str) -> None:
    own, with_another_thread, afterwards = calls[model]["counts"]
    assert own > 0
    assert (with_another_thread, afterwards) == (own, own)
