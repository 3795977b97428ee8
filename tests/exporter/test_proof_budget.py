"""The budget of a proof is that of the coarsest arithmetic; where that is not the layers', a note says so."""

from typing import TYPE_CHECKING

import pytest

from kedge_bundle.manifest import FORMATS
from kedge_bundle.parity import Budget
from kedge_exporter.proof_budget import budget_of

if TYPE_CHECKING:
    from kedge_exporter.keras_model import Precision


@pytest.mark.parametrize(
    ("layers", "computed", "expected"),
    [
        ("float32", {"float32"}, "float32"),
        ("float16", {"float16", "float32"}, "float16"),
        ("bfloat16", {"bfloat16"}, "bfloat16"),
        ("bfloat16", {"float16", "float32"}, "bfloat16"),
    ],
)
def test_layers_decide_and_nothing_needs_to_be_said(
    layers: "Precision", computed: set[str], expected: "Precision"
) -> None:
    assert budget_of(layers, computed, FORMATS) == (Budget.for_precision(expected), (), "")


def test_float64_keeps_its_digits_where_everyone_has_them() -> None:
    assert budget_of("float64", {"float64"}, ("onnx", "saved_model")) == (Budget.for_precision("float64"), (), "")


@pytest.mark.parametrize(
    ("layers", "computed", "expected", "who"),
    [
        ("float32", {"float32", "bfloat16"}, "bfloat16", "an operation inside of the model computes in bfloat16"),
        ("float32", {"float32", "float16"}, "float16", "an operation inside of the model computes in float16"),
        ("float16", {"float16", "bfloat16"}, "bfloat16", "an operation inside of the model computes in bfloat16"),
        ("float64", {"float64", "float32"}, "float32", "an operation inside of the model computes in float32"),
        ("float64", {"float64"}, "float32", "LiteRT computes in float32"),
    ],
)
def test_a_wider_budget_than_that_of_the_layers_is_said(
    layers: "Precision", computed: set[str], expected: "Precision", who: str
) -> None:
    budget, notes, why_not = budget_of(layers, computed, FORMATS)
    assert budget == Budget.for_precision(expected)
    assert why_not == who
    (note,) = notes
    assert note.startswith(f"the layers compute in {layers}, but {who}: every format was held to the budget of")
