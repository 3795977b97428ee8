"""What is said of a curve."""

import math

import pytest

from kedge_exporter.culprit.curve import LayerCurve, LayerError, culprit, describe, explain


def _layer(name: str, *covers: str, local: float | None = 1e-7, cumulative: float = 2e-7) -> LayerError:
    return LayerError(
        layer=name,
        class_name="Conv2D",
        covers=(*covers, name),
        tensor=f"scope/{name}:0",
        shape=(2, 4),
        cumulative_error=cumulative,
        cumulative_keras_error=1e-7,
        local_error=local,
        local_keras_error=1e-7,
        local_allowed=8e-7,
    )


def test_the_first_layer_beyond_its_budget_is_the_culprit() -> None:
    curve = LayerCurve(format="onnx", layers=(_layer("a"), _layer("b", local=1e-2), _layer("c", local=1.0)))
    assert culprit(curve) == curve.layers[1]


def test_an_error_that_is_no_number_is_beyond_any_budget() -> None:
    assert culprit(LayerCurve(format="onnx", layers=(_layer("a", local=math.inf),))) is not None


@pytest.mark.parametrize(
    ("covers", "whole"),
    [
        ((), "(Conv2D)"),
        (("bn",), "(Conv2D, which the file computes as one with 'bn')"),
        (("bn", "relu", "pad"), "(Conv2D, which the file computes as one with 'bn', 'relu' and 'pad')"),
    ],
)
def test_a_layer_is_described_with_those_that_it_is_computed_with(covers: tuple[str, ...], whole: str) -> None:
    assert describe(_layer("c3", *covers, local=1.2e-2, cumulative=3.4e-2)) == (
        f"the first layer that differs is 'c3' {whole}: fed with right inputs it errs by 0.012 of its output's size, "
        "8e-07 is allowed; behind it, run from the model's inputs, it errs by 0.034 of its output's size"
    )


def test_it_is_said_why_no_layer_is_named() -> None:
    grown = LayerCurve(format="onnx", layers=(_layer("a"), _layer("z", cumulative=1e-3)))
    assert explain(grown) == (
        "no layer differs when it is fed with right inputs; the error grows from 2e-07 behind 'a' to 0.001 behind 'z'"
    )
    assert explain(LayerCurve(format="onnx", reason="it does not run")) == "no layer can be named: it does not run"
    faulty = LayerCurve(format="onnx", layers=(_layer("a", local=0.5),))
    assert explain(faulty) == describe(faulty.layers[0])


def test_a_curve_comes_back_from_json_as_it_was() -> None:
    curve = LayerCurve(format="tflite", rows=2, layers=(_layer("a", local=math.inf, cumulative=math.inf),))
    assert LayerCurve.model_validate_json(curve.model_dump_json()) == curve
