"""Advice: a rule speaks of the models that it is meant for, and is silent about ordinary ones."""

import json
import re
from typing import Any

import pytest

from kedge_exporter.advice import RULES
from kedge_exporter.advice_losses import losses_of
from tests.exporter.conftest import ROOT, run_module

NAMES = [("label",), ("value",)]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What was said of every model of `advice_models.py`, and what it was expected to be."""
    work = tmp_path_factory.mktemp("work")
    printed = run_module("tests.exporter.advice_models", tmp_path_factory.mktemp("models"), work=work)
    return {line["name"]: line for line in map(json.loads, printed.splitlines())}


def codes(line: dict[str, Any]) -> list[str]:
    return ["refused"] if "error" in line else [advice["code"] for advice in line["advice"]]


def test_every_model_gets_the_advice_that_it_gives_reason_for_and_no_other(judged: dict[str, dict[str, Any]]) -> None:
    wrong = {name: codes(line) for name, line in judged.items() if codes(line) != line["expected"]}
    assert wrong == {}
    assert len(judged) > 50


def test_every_rule_speaks_of_some_model_and_is_silent_about_most(judged: dict[str, dict[str, Any]]) -> None:
    spoken = [set(codes(line)) for line in judged.values()]
    for code in RULES:
        assert any(code in found for found in spoken), code
    assert sum(not found for found in spoken) > 20


def test_advice_says_where_why_and_what_to_do(judged: dict[str, dict[str, Any]]) -> None:
    (unfit,) = judged["sigmoid, categorical"]["advice"]
    assert unfit["layer"] == "last"
    assert unfit["message"] == (
        "the output 'last' ends in sigmoid, and was trained with categorical_crossentropy: it takes one distribution "
        "over the classes, which sigmoid does not give; end in softmax, or use binary_crossentropy where several "
        "classes may be true at once, then train and save again"
    )
    (constant,) = judged["zero variance"]["advice"]
    assert "the variance 0 of 2 of 4 features (0, 3)" in constant["message"]
    (inside,) = judged["scaled by the application too"]["advice"]
    assert "by 'mine' and by 'rescaling'" in inside["message"]


@pytest.mark.parametrize(("model", "kind"), [("nan", "NaN"), ("infinity", "infinite")])
def test_a_weight_that_is_no_number_refuses_the_model_and_is_named(
    judged: dict[str, dict[str, Any]], model: str, kind: str
) -> None:
    assert f"kernel of the layer 'last' (1 of 15 values, {kind})" in judged[model]["error"]


def test_the_page_lists_every_rule() -> None:
    page = (ROOT / "docs" / "advice.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert listed == [*RULES, "not-reproducible"]


@pytest.mark.parametrize(
    "compiled",
    [
        None,
        "sgd",
        {},
        {"optimizer": "sgd"},
        {"loss": None},
        {"loss": 3},
        {"loss": [BINARY := "binary_crossentropy"]},
        {"loss": BINARY},  # one loss, two outputs: nobody says for which
        {"loss": {"class_name": "BinaryCrossentropy"}},
        {"loss": {"other": BINARY}},
        {"loss": {"label": {"module": "keras.losses", "class_name": ["BinaryCrossentropy"], "config": {}}}},
        {"loss": {"label": {"module": None, "class_name": "BinaryCrossentropy", "config": {}}}},
        {"loss": {"label": {"module": "keras.losses", "class_name": "BinaryCrossentropy", "config": None}}},
        {"loss": {"label": {"module": "builtins", "class_name": "function", "config": "own>binary_crossentropy"}}},
        {"loss": {"label": [BINARY, BINARY], "value": {"nested": BINARY}}},
    ],
)
def test_a_compile_configuration_that_is_not_understood_is_no_reason_for_anything(compiled: object) -> None:
    assert losses_of({"compile_config": compiled}, NAMES) == {}


def test_losses_are_found_by_position_and_by_any_name_of_their_output() -> None:
    by_class = {
        "module": "keras.losses",
        "class_name": "BinaryCrossentropy",
        "config": {"from_logits": True, "axis": 1},
    }
    found = losses_of({"compile_config": {"loss": {"layer": by_class}}}, [("key", "layer")])
    assert (found[0].family, found[0].takes_logits, found[0].is_over_last_axis) == ("binary", True, False)
    assert losses_of({"compile_config": {"loss": ["mse", "kld"]}}, NAMES)[1].family == "divergence"
