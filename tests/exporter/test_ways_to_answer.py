"""Kedge asks Keras in ways that take less time and memory, and get the same answers."""

import json
from typing import Any

import pytest

from tests.exporter.conftest import run_module

MODELS = ("chain", "reused", "nested", "grouped", "lstm", "dicts", "known_words")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    printed = run_module("tests.exporter.ways_to_answer", work=tmp_path_factory.mktemp("work"))
    return {line["model"]: line for line in map(json.loads, printed.splitlines())}


@pytest.mark.parametrize("model", MODELS)
def test_forgetting_what_nothing_reads_changes_no_bit(told: dict[str, dict[str, Any]], model: str) -> None:
    assert told[model]["same"]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_in_float64_answers_from_one_graph_as_it_does_op_by_op(
    told: dict[str, dict[str, Any]], model: str
) -> None:
    eager, graph = told[model]["names"]
    assert eager == graph
    assert set(told[model]["dtypes"]) == {"float64"}
    assert told[model]["apart"] < 1e-12


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_is_rebuilt_need_not_be_called(told: dict[str, dict[str, Any]], model: str) -> None:
    assert told[model]["not_called"]


def test_answers_are_dropped_when_the_last_layer_has_read_them(told: dict[str, dict[str, Any]]) -> None:
    kedge, keras = told["alive"]["answers"]
    assert keras == 8
    assert kedge <= 2
