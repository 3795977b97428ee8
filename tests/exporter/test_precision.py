"""Models that do not compute in float32, or stumble in TensorFlow, reach TFLite with their dtypes; or say why not."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.exporter.conftest import run_module

DTYPES = {
    "mixed_float16": "float32",
    "mixed_bfloat16": "float32",
    "float16": "float16",
    "float64": "float64",
    "policy_map": "float32",
    "single_ops": "float32",
    "looked_up": "float32",
    "odd_names": "float32",
    "open_images": "float32",
    "upsampled": "float32",
    "upsampled_open": "float32",
}
EXACT = ("float64", "odd_names", "open_images", "upsampled", "upsampled_open")
ROUNDING = {"mixed_bfloat16": 2e-2, **dict.fromkeys(EXACT, 1e-6)}
"""The share by which Keras' own answers may be off; half precision elsewhere."""
HALF = 2e-3


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Any]]]:
    """What two fresh processes say of every model."""

    def run(work: Path, *arguments: Path) -> dict[str, dict[str, Any]]:
        printed = run_module("tests.exporter.convert_many", *arguments, work=work)
        outcomes = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        return {outcome["name"]: outcome for outcome in outcomes}

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, tmp_path_factory.mktemp("first"))
        second = pool.submit(run, tmp_path_factory.mktemp("second"), Path("bytes"))
        return [first.result(), second.result()]


@pytest.mark.parametrize("name", DTYPES)
def test_a_model_answers_from_litert_as_from_keras_in_the_dtypes_that_it_promised(
    runs: list[dict[str, dict[str, Any]]], name: str
) -> None:
    outcome = runs[0][name]
    assert outcome["dtypes"] == [DTYPES[name]]
    assert outcome["error"] < ROUNDING.get(name, HALF)


@pytest.mark.parametrize("name", DTYPES)
def test_a_model_is_rebuilt_in_float64_with_its_weights_statistics_and_tables(
    runs: list[dict[str, dict[str, Any]]], name: str
) -> None:
    outcome = runs[0][name]
    assert outcome["float64_dtypes"] == ["float64"]
    assert outcome["float64_error"] < ROUNDING.get(name, HALF)


@pytest.mark.parametrize("name", ["open_images", "upsampled", "upsampled_open"])
def test_upsampled_images_keep_any_number_of_rows(runs: list[dict[str, dict[str, Any]]], name: str) -> None:
    assert runs[0][name]["batch"] == "dynamic"


@pytest.mark.parametrize("name", DTYPES)
def test_two_processes_write_the_same_bytes(runs: list[dict[str, dict[str, Any]]], name: str) -> None:
    assert runs[0][name]["sha256"] == runs[1][name]["sha256"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stubborn", ["it computes in float16", "(Stubborn) stays float16", "hand the dtype argument on"]),
        ("quantized", ["it computes in float16", "quantized by Keras"]),
    ],
)
def test_a_model_that_insists_on_its_precision_is_refused_by_layer(
    runs: list[dict[str, dict[str, Any]]], name: str, words: list[str]
) -> None:
    assert all(word in runs[0][name]["refusal"] for word in ["tflite cannot be produced", *words]), runs[0][name]
