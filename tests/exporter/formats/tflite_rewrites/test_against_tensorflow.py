"""Every op that TFLite gets in another form answers as TensorFlow's own; what has no form is refused in words."""

import json
from typing import Any

import pytest

from tests.exporter.conftest import run_module

OPS = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "AvgPool3D", "BatchToSpaceND", "BiasAdd", "BitwiseAnd",
    "BitwiseOr", "Conv3D", "Cos", "Cosh", "Cumprod", "DenseBincount", "Einsum", "Erf", "Erfc", "Erfinv", "FloorDiv",
    "Invert", "LeftShift", "MaxPool3D", "ResizeBicubic", "ResizeBilinear", "Rsqrt", "ScaleAndTranslate", "Sign",
    "Sin", "Sinh", "Softplus", "SpaceToBatchND", "Tan",
)  # fmt: skip
NEVER = ("FFT", "FFT2D", "FFT3D", "IFFT", "IFFT2D", "IFFT3D")
"""Ops that have no other form either; the converter makes something else of them."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    printed = run_module(
        "tests.exporter.formats.tflite_rewrites.run_cases", work=tmp_path_factory.mktemp("tflite-rewrites")
    )
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def test_every_rewrite_is_tried(outcomes: list[dict[str, Any]]) -> None:
    assert outcomes[0]["rewrites"] == sorted(OPS + NEVER)


@pytest.mark.parametrize("op", OPS)
def test_a_rewritten_op_answers_as_tensorflow_does(outcomes: list[dict[str, Any]], op: str) -> None:
    cases = [outcome for outcome in outcomes if outcome.get("op") == op and "difference" in outcome]
    assert cases
    assert [case["name"] for case in cases if not case["has_op"]] == []
    assert {case["name"]: case["difference"] for case in cases if case["difference"]} == {}


@pytest.mark.parametrize(
    ("op", "name", "advice"),
    [
        ("Cumprod", "open axis", "give the model's input a fixed size there"),
        ("ResizeBicubic", "open sizes", "give the model's input a fixed height and width"),
        ("ScaleAndTranslate", "open sizes", "give the model's input a fixed height and width"),
        ("BitwiseAnd", "int64", "cast to int32 before it"),
        ("Invert", "int16", "cast to int32 before it"),
        ("MaxPool3D", "channels first", "data_format='channels_last'"),
        ("SpaceToBatchND", "computed block", "give the layer a fixed dilation_rate"),
        ("Svd", "linear algebra", "compute it outside the model"),
        ("FFT", "complex transform", "transform before or after the request"),
        ("ArgMax", "int64", "cast before this layer"),
        ("NextAfter", "no advice of its own", "build the layer from other ops"),
    ],
)
def test_what_has_no_builtin_form_is_refused_by_op_layer_and_advice(
    outcomes: list[dict[str, Any]], op: str, name: str, advice: str
) -> None:
    refusals = [o["refusal"] for o in outcomes if o.get("op") == op and o.get("name") == name and "refusal" in o]
    assert len(refusals) == 1
    assert all(word in refusals[0] for word in (f"tf.{op}", "in the layer 'scope' (Scope)", advice)), refusals[0]
