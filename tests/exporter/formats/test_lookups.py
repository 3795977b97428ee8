"""Layers that look up: in ONNX as tables or refused by name, in SavedModel always."""

import json
from pathlib import Path

import pytest

from tests.exporter.conftest import run_module

REFUSED = {
    "several unknown": (
        "StringToHashBucketFast in the layer 'look_up' (StringLookup)",
        "hash before the request",
        "num_oov_indices=1",
    ),
    "hashed": ("StringToHashBucketFast in the layer 'crc' (Hashing)", "hash before the request"),
    "text": (
        "in the layer 'split' (TextVectorization)",
        "StringSplitV2",
        "split and normalise text before the request",
    ),
    "algebra": ("Qr in the layer 'functional' (Functional)", "compute it before the request"),
}
CONVERTED = (
    *("int", "one_hot", "multi_hot", "count", "tf_idf", "masked", "masked, counted", "masked, all known"),
    *("padded", "inverse", "numbers", "numbers, counted", "numbers, several unknown", "numbers, inverse"),
)

Outcomes = dict[str, str]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lookups")


@pytest.fixture(scope="module")
def in_onnx(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return _outcomes("convert", directory, tmp_path_factory)


@pytest.fixture(scope="module")
def in_saved_model(in_onnx: Outcomes, directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    assert in_onnx.keys() == {*CONVERTED, *REFUSED}
    return _outcomes("load", directory, tmp_path_factory)


def _outcomes(step: str, directory: Path, factory: pytest.TempPathFactory) -> Outcomes:
    printed = run_module("tests.exporter.formats.lookups", Path(step), directory, work=factory.mktemp("work"))
    return dict(json.loads(line) for line in printed.splitlines() if line.startswith('["'))


@pytest.mark.parametrize("name", CONVERTED)
def test_a_table_becomes_a_label_encoder(in_onnx: Outcomes, name: str) -> None:
    assert in_onnx[name] == "equal"


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_format_the_layer_the_op_and_what_to_do(in_onnx: Outcomes, name: str) -> None:
    said = in_onnx[name]
    assert said.startswith("onnx cannot be produced: ")
    assert said.endswith("; --formats chooses the others")
    assert all(words in said for words in REFUSED[name]), said


def test_a_table_of_vectors_is_refused(in_saved_model: Outcomes) -> None:
    said = in_saved_model["vectors"]
    assert "values of the shape [2]; expected one value for each key" in said
    assert said.endswith("look up an index, and gather the row of a weight")


@pytest.mark.parametrize("name", [*CONVERTED, *REFUSED])
def test_a_saved_model_brings_its_tables_into_a_fresh_process(in_saved_model: Outcomes, name: str) -> None:
    assert in_saved_model[name] == "equal"
