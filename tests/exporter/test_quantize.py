"""Real quantized exports: what is in the bundle, what is refused, and the server that serves them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kedge_bundle.manifest import Artifact
from kedge_bundle.replay import verify
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.store import Bundle
from kedge_server.client import Client
from tests.exporter.conftest import Exports, run_module
from tests.services.server_process import running_server

QUANTIZED = ("tflite-float16", "tflite-dynamic", "tflite-int8", "onnx-float16", "onnx-int8")


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Every trial of `quantize_many`, in one process."""
    output = tmp_path_factory.mktemp("quantized")
    printed = run_module("tests.exporter.quantize_many", output, work=tmp_path_factory.mktemp("work"))
    outcomes = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return Exports(output / "models", {outcome["name"]: outcome for outcome in outcomes})


def artifact_of(bundle: Bundle, name: str) -> Artifact:
    artifact = bundle.manifest.artifact(name)
    assert artifact is not None
    return artifact


def lines_of(outcome: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["format"]: line for line in outcome["formats"]}


def test_every_kind_stands_beside_the_float32_ones(quantized: Exports) -> None:
    manifest = quantized.bundle("digits").manifest
    assert [artifact.name for artifact in manifest.artifacts] == ["tflite", "onnx", *QUANTIZED]
    assert {artifact.path for artifact in manifest.artifacts} == {
        "model.tflite", "model.onnx", "model.float16.tflite", "model.dynamic.tflite", "model.int8.tflite",
        "model.float16.onnx", "model.int8.onnx",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "most_share", "least_snr_db"),
    [
        ("tflite-float16", 0.65, 60),
        ("tflite-dynamic", 0.5, 30),
        ("tflite-int8", 0.5, 25),
        ("onnx-float16", 0.65, 60),
        ("onnx-int8", 0.65, 25),
    ],
)
def test_it_is_smaller_and_answers_nearly_the_same(
    quantized: Exports, name: str, most_share: float, least_snr_db: float
) -> None:
    line = lines_of(quantized.outcomes["digits"])[name]
    assert line["verdict"] == "within-fidelity"
    assert line["share"] < most_share
    fidelity = artifact_of(quantized.bundle("digits"), name).quantized
    assert fidelity is not None
    assert fidelity.fidelity.source == "data"
    assert fidelity.fidelity.snr_db is not None
    assert fidelity.fidelity.snr_db > least_snr_db
    assert fidelity.fidelity.agreement is not None
    assert fidelity.fidelity.agreement > 0.97


def test_calibration_and_judging_take_different_rows(quantized: Exports) -> None:
    for name, calibrated in (("tflite-int8", 128), ("onnx-int8", 128), ("tflite-float16", 0)):
        found = artifact_of(quantized.bundle("digits"), name).quantized
        assert found is not None
        assert (found.calibration_rows, found.fidelity.rows) == (calibrated, 300 - 128)


def test_every_artifact_has_the_contract_of_the_model(quantized: Exports) -> None:
    bundle = quantized.bundle("digits")
    pixels = bundle.golden[0].inputs["pixels"]
    for artifact in bundle.manifest.artifacts:
        with open_runtime(bundle, artifact) as runtime:
            answer = runtime.run({"pixels": pixels})
        assert answer["digit"].dtype == np.float32
        assert answer["digit"].shape == (len(pixels), 10)
        assert artifact.batch == "dynamic"


def test_latency_is_measured_for_all(quantized: Exports) -> None:
    for line in quantized.outcomes["digits"]["formats"]:
        latency = line["latency"]
        assert 0 < latency["p50_ms"] <= latency["p99_ms"]
        assert latency["rows"] == 1
        assert latency["runs"] >= 5


def test_int8_arithmetic_is_in_the_files(quantized: Exports) -> None:
    bundle = quantized.bundle("digits")
    assert {"QUANTIZE", "DEQUANTIZE", "FULLY_CONNECTED"} <= set(artifact_of(bundle, "tflite-int8").ops)
    assert {"QuantizeLinear", "DequantizeLinear"} <= set(artifact_of(bundle, "onnx-int8").ops)
    # A Dense with a scale for each channel is read wrongly by older interpreters, whatever the converter writes.
    assert artifact_of(bundle, "tflite-int8").min_runtime == "2.17.0"


def test_the_proof_holds_what_was_judged(quantized: Exports) -> None:
    bundle = quantized.bundle("digits")
    proof = json.loads((bundle.directory / bundle.manifest.proof.path).read_text())
    plain = "graph optimization disabled"
    found = [(report["format"], report["session"]) for report in proof["reports"]]
    assert found == [(name, session) for name in ("tflite", "onnx") for session in ("", plain, "logits")]
    assert [report["artifact"] for report in proof["fidelity"]] == list(QUANTIZED)


@pytest.mark.parametrize("name", QUANTIZED)
def test_its_own_answers_are_replayed(quantized: Exports, name: str) -> None:
    bundle = quantized.bundle("digits")
    report = verify(bundle, artifact_of(bundle, name))
    assert report.is_proven, report.first_failure()
    assert {case.case.partition("-")[0] for case in report.cases} == {"data", "typical", "zeros", "constant"}


def test_without_data_float16_is_judged_by_drawn_rows_and_says_so(quantized: Exports) -> None:
    found = artifact_of(quantized.bundle("without_data"), "onnx-float16").quantized
    assert found is not None
    assert found.fidelity.source == "drawn"
    assert found.fidelity.budget.min_agreement == 0
    assert any("judged by inputs that were drawn" in note for note in quantized.outcomes["without_data"]["notes"])


def test_rows_with_nan_neither_calibrate_nor_judge(quantized: Exports) -> None:
    bundle = quantized.bundle("few_and_nan")
    notes = quantized.outcomes["few_and_nan"]["notes"]
    assert "quantization: 30 of the 90 rows of --data hold NaN or infinities and were left out" in notes
    assert any("30 rows of --data to judge by, 30 others to calibrate on" in note for note in notes)
    report = verify(bundle, artifact_of(bundle, "onnx-int8"))
    assert report.is_proven
    assert not any(case.case.startswith("data") for case in report.cases)


def test_two_inputs_half_precision_and_a_fixed_batch(quantized: Exports) -> None:
    bundle = quantized.bundle("mixed_rows")
    artifact = artifact_of(bundle, "tflite-float16")
    assert artifact.batch == 4
    assert artifact.latency is not None
    assert artifact.latency.rows == 4


@pytest.mark.parametrize(
    ("name", "exit_code", "words"),
    [
        ("demanding", 1, ("onnx-int8: output 'digit': signal-to-noise", "wanted at least 60 dB", "--min-snr-db")),
        ("kelvin", 1, ("onnx-int8", "its rows differ little", "dB of what tells rows apart")),
        ("recurrent", 4, ("tflite-int8 cannot be produced: it holds a loop", "--quantize chooses the others")),
        ("weightless", 4, ("onnx-int8 cannot be produced: none of this model's weights",)),
        ("infinite", 4, ("tflite-int8 cannot be produced", "quantizer was killed by", "infinite or NaN")),
    ],
)
def test_what_cannot_be_had_is_refused_and_nothing_published(
    quantized: Exports, name: str, exit_code: int, words: tuple[str, ...]
) -> None:
    outcome = quantized.outcomes[name]
    assert outcome["exit_code"] == exit_code, outcome
    for word in words:
        assert word in outcome["error"]
    assert not (quantized.repository / name).exists()


def test_a_missed_threshold_reports_on_all(quantized: Exports) -> None:
    assert quantized.outcomes["demanding"]["judged"] == ["onnx-float16", "onnx-int8"]


@pytest.mark.parametrize("name", ["onnx-int8", "tflite-int8"])
def test_the_server_serves_it(quantized: Exports, name: str, tmp_path: Path) -> None:
    bundle = quantized.bundle("digits")
    pixels = bundle.golden[0].inputs["pixels"]
    (tmp_path / "digits").symlink_to(bundle.directory.parent)
    with running_server(tmp_path, "--format", name) as server:
        assert server.event("model_loaded")["format"] == name
        assert server.event("model_loaded")["self_test"] in ("bit-exact", "rounding-equivalent")
        assert [labels["format"] for labels, _ in server.samples("kedge_model_info")] == [name]
        with Client(server.grpc) as client:
            answer = client.predict("digits", {"pixels": pixels})
    with open_runtime(bundle, artifact_of(bundle, name)) as runtime:
        expected = runtime.run({"pixels": pixels})
    np.testing.assert_allclose(answer["digit"], expected["digit"], atol=0.02)
