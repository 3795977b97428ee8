"""Keras' own logits, whatever a model's last layers are."""

import json
from typing import Any

import numpy as np
import pytest

from tests.exporter.conftest import run_module

HEADS = {
    "linear": {},
    "dense": {"class": "softmax"},
    "dense, rebuilt": {"class": "softmax"},
    "pixels": {
        "mask": "sigmoid", "segments": "softmax", "boxes": "softmax", "columns": "softmax", "score": "sigmoid",
    },
    "shared": {"chance": "softmax"},
    "half": {"class": "softmax"},
    "half, rebuilt": {"class": "softmax"},
    "nested": {"one": "softmax", "two": "softmax"},
    "subclassed": {"chance": "softmax"},
    "sequence": {"permute": "softmax"},
    "op": {"sigmoid": "sigmoid"},
    "advised": {"class": "softmax"},
    "no_heads": {},
}  # fmt: skip
HEADS["pixels, rebuilt"] = HEADS["pixels"]
ROUNDING = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    printed = run_module("tests.exporter.copies.logits_of_models", work=tmp_path_factory.mktemp("work"))
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return {line["model"]: line for line in lines}


def test_heads_are_found_and_told_apart(told: dict[str, dict[str, Any]]):
    assert {model: entry["heads"] for model, entry in told.items() if model != "brittle"} == HEADS


@pytest.mark.parametrize("model", HEADS)
def test_a_graph_without_their_ops_has_no_heads(told: dict[str, dict[str, Any]], model: str):
    assert told[model]["graph_may_have_some"] or not HEADS[model]
    assert model != "linear" or not told[model]["graph_may_have_some"]


@pytest.mark.parametrize("model", HEADS)
def test_asking_for_logits_changes_no_answer(told: dict[str, dict[str, Any]], model: str):
    assert told[model]["same_answers"]
    assert told[model]["same_logits"]


@pytest.mark.parametrize("model", [model for model, heads in HEADS.items() if heads])
def test_logits_give_the_answers_back(told: dict[str, dict[str, Any]], model: str):
    for name, pair in told[model]["pairs"].items():
        answer, logits = (np.array(pair[key], np.float64) for key in ("answer", "logits"))
        dtype = pair["dtype"][0]
        assert pair["dtype"] == [dtype, dtype]
        assert (dtype == "float64") == model.endswith("rebuilt")
        if HEADS[model][name] == "sigmoid":
            back = 1 / (1 + np.exp(-logits))
        else:
            powers = np.exp(logits)
            back = powers / powers.sum(axis=1 if name == "columns" else -1, keepdims=True)
        np.testing.assert_allclose(back, answer, atol=ROUNDING[dtype])
        assert np.abs(logits).max() > 0.1


def test_a_call_that_fails_leaves_the_model_as_it_was(told: dict[str, dict[str, Any]]):
    entry = told["brittle"]
    assert "ArithmeticError" in entry["refused"]
    assert entry["left"] == []
    assert entry["heads"] == {"chance": "sigmoid"}
