"""What the reference answers tell of the proof that will rest on them."""

from typing import Any

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_bundle.parity import Budget
from kedge_exporter.reference import constant_outputs

BUDGET = Budget.for_precision("float32")


def cases(*answers: list[Any], dtype: str = "float32") -> list[Case]:
    return [Case(f"case-{i}", {}, {"y": np.array(answer, dtype)}) for i, answer in enumerate(answers)]


@pytest.mark.parametrize(
    "answered",
    [
        cases([[0.001, 0.001]], [[0.001, 0.001]] * 2),
        cases([[1.0, 0.0]], [[1.0, 1e-7]]),
        cases([[np.nan, 1.0]], [[np.nan, 1.0]]),
        cases([[3]], [[3], [3]], dtype="int64"),
        cases([[[1.0], [1.0]]], [[[1.0]], [[1.0]]], [[[1.0], [1.0]]]),  # of variable length
    ],
)
def test_an_output_that_no_input_moves_is_named(answered: list[Case]) -> None:
    assert constant_outputs(answered, BUDGET) == ["y"]


@pytest.mark.parametrize(
    "answered",
    [
        cases([[0.5, 0.5]], [[0.4, 0.6]]),
        cases([[1e-9]], [[2e-9]]),
        cases([[1.0]], [[np.nan]]),
        cases([[3], [4]], dtype="int64"),
        cases([[1.0]]),  # nothing to compare with
    ],
)
def test_an_output_that_inputs_move_is_not(answered: list[Case]) -> None:
    assert constant_outputs(answered, BUDGET) == []
