"""What a manifest says of quantized artifacts, and what they are replayed against."""

import json
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.cli import main
from kedge_bundle.errors import BundleUnreadable, ManifestInvalid
from kedge_bundle.manifest import ARTIFACT_NAMES, FILE_NAME, Artifact, read_manifest
from kedge_bundle.replay import verify
from kedge_bundle.store import open_bundle
from tests.services.quantized_bundles import add_quantized, two_with_int8


def edited(directory: Path, change: dict[str, object]) -> None:
    path = directory / FILE_NAME
    document = json.loads(path.read_text())
    document["artifacts"][1].update(change)
    path.write_text(json.dumps(document))


def test_an_artifact_is_named_by_format_and_quantization(tmp_path: Path) -> None:
    manifest = two_with_int8(tmp_path).manifest
    assert [artifact.name for artifact in manifest.artifacts] == ["onnx", "onnx-int8"]
    for name in ("onnx", "onnx-int8"):
        artifact = manifest.artifact(name)
        assert artifact is not None
        assert artifact.name in ARTIFACT_NAMES
    assert manifest.artifact("tflite-int8") is None


def test_a_manifest_of_before_quantization_is_read(tmp_path: Path) -> None:
    directory = two_with_int8(tmp_path).directory
    document = json.loads((directory / FILE_NAME).read_text())
    artifact = document["artifacts"][0]
    for later in ("quantization", "quantized", "latency", "min_runtime"):
        del artifact[later]
    document |= {"artifacts": [artifact], "schema_version": "1.0"}
    (directory / FILE_NAME).write_text(json.dumps(document))
    assert [artifact.name for artifact in open_bundle(directory).manifest.artifacts] == ["onnx"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantization": "dynamic"}, "there is no onnx in dynamic"),
        ({"quantized": None}, "must say what it was judged by"),
        ({"quantization": "none", "quantized": None, "verdict": "bit-exact"}, "an artifact stands twice"),
        ({"quantization": "none", "quantized": None}, "fidelity is for quantized artifacts, parity for the others"),
        ({"verdict": "bit-exact"}, "fidelity is for quantized artifacts, parity for the others"),
        ({"verdict": "failed"}, "has the verdict 'failed', and its fidelity another one"),
        ({"quantization": "none"}, "must say what it was judged by"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    directory = two_with_int8(tmp_path).directory
    edited(directory, change)
    with pytest.raises(ManifestInvalid, match=reason):
        read_manifest(directory)


def test_its_own_answers_are_among_the_files_that_are_checked(tmp_path: Path) -> None:
    directory = two_with_int8(tmp_path).directory
    (directory / "golden.onnx-int8.npz").unlink()
    with pytest.raises(BundleUnreadable, match=r"golden.onnx-int8.npz' is missing"):
        open_bundle(directory)


def quantized_of(directory: Path) -> Artifact:
    artifact = open_bundle(directory).manifest.artifact("onnx-int8")
    assert artifact is not None
    return artifact


def test_it_is_replayed_against_its_own_answers_not_those_of_keras(tmp_path: Path) -> None:
    bundle = two_with_int8(tmp_path, scale=2.1)  # five percent from Keras
    artifact = quantized_of(bundle.directory)
    report = verify(bundle, artifact)
    assert report.format == "onnx-int8"
    assert report.verdict == "bit-exact"


def test_other_answers_than_its_own_fail(tmp_path: Path) -> None:
    bundle = two_with_int8(tmp_path, scale=2.1, answers_scale=2.3)
    report = verify(bundle, quantized_of(bundle.directory))
    assert not report.is_proven
    assert report.first_failure().startswith("case 'case0', output 'total': largest error")


def test_a_step_of_difference_is_allowed(tmp_path: Path) -> None:
    bundle = two_with_int8(tmp_path, scale=2.1, answers_scale=2.11)
    assert verify(bundle, quantized_of(bundle.directory)).verdict == "within-tolerance"


@pytest.mark.parametrize("names", [(), ("case0", "another")])
def test_answers_to_other_cases_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    bundle = two_with_int8(tmp_path)
    own = bundle.golden[0].outputs
    write_cases(tmp_path / "own.npz", [Case(name, {}, own) for name in names])
    bundle = add_quantized(bundle, bundle.directory / "model.onnx", tmp_path / "own.npz")
    with pytest.raises(ManifestInvalid, match="the golden ones are"):
        bundle.golden_of(quantized_of(bundle.directory))


def test_verify_model_checks_all_and_takes_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(two_with_int8(tmp_path, scale=2.1).directory)
    assert main([directory]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["onnx", "onnx-int8"]
    assert lines[3] == (
        "two version 1 answers as Keras did here; a quantized artifact is asked for its own answers of when it was "
        "judged."
    )
    assert main([directory, "--format", "onnx-int8", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [found["format"] for found in document["formats"]] == ["onnx-int8"]
    assert main([directory, "--format", "tflite-int8"]) == 4
    assert "no tflite-int8 in this bundle; it has onnx, onnx-int8" in capsys.readouterr().err


def test_a_damaged_quantized_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = two_with_int8(tmp_path).directory
    content = bytearray((directory / "model.int8.onnx").read_bytes())
    content[-1] ^= 1
    (directory / "model.int8.onnx").write_bytes(content)
    assert main([str(directory)]) == 3
    assert "'model.int8.onnx' is not the file that was proven" in capsys.readouterr().err


def test_golden_answers_are_of_its_own_dtype_and_shape(tmp_path: Path) -> None:
    bundle = two_with_int8(tmp_path)
    cases, judge = bundle.golden_of(quantized_of(bundle.directory))
    assert [case.name for case in cases] == ["case0"]
    assert cases[0].inputs.keys() == {"a", "b"}
    assert {name: array.dtype for name, array in cases[0].outputs.items()} == {
        "total": np.float32,
        "difference": np.float32,
    }
    assert judge.fallback.rtol == 0.02
