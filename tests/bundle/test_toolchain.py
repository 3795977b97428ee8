"""The versions that made a bundle against those that are here."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from kedge_bundle import cli
from kedge_bundle.manifest import Manifest, read_manifest, write_manifest
from kedge_bundle.toolchain import keras_of_this_kedge, other_versions, requirements, runtime_version
from tests.services import bundles

ROOT = Path(__file__).parents[2]
HERE = {"keras": keras_of_this_kedge() or "", "onnxruntime": version("onnxruntime")}


def made_with(directory: Path, **packages: str) -> Manifest:
    """A bundle that was made by these versions."""
    path = bundles.publish(bundles.identity(), directory, "tiny").directory
    manifest = read_manifest(path)
    packages = {name.replace("_", "-"): number for name, number in packages.items()}
    toolchain = manifest.toolchain.model_copy(update={"packages": packages})
    write_manifest(path, manifest.model_copy(update={"toolchain": toolchain}))
    return read_manifest(path)


def test_the_same_versions_are_nothing_to_say(tmp_path: Path) -> None:
    assert other_versions(made_with(tmp_path, **HERE), "onnx") == ()
    built_otherwise = {name: f"{number}+cpu" for name, number in HERE.items()}
    assert other_versions(made_with(tmp_path, **built_otherwise), "onnx") == ()


def test_a_bundle_that_records_nothing_is_not_judged(tmp_path: Path) -> None:
    assert other_versions(made_with(tmp_path), "onnx") == ()


def test_another_keras_and_another_runtime_are_named_with_both_versions(tmp_path: Path) -> None:
    manifest = made_with(tmp_path, keras="3.3.0", onnxruntime_gpu="1.20.0", ai_edge_litert="1.0.0")
    assert list(map(str, other_versions(manifest, "onnx"))) == [
        f"made with keras 3.3.0, this version of Kedge exports with {HERE['keras']}",
        f"made with onnxruntime 1.20.0, here is {HERE['onnxruntime']}",
    ]
    assert [other.package for other in other_versions(manifest, "tflite")] == ["keras", "ai-edge-litert"]
    # The runtime that does not run it does not matter, nor one that was not there when it was made.
    assert [other.package for other in other_versions(manifest, "saved_model")] == ["keras"]


def test_the_keras_of_this_kedge_is_the_one_that_its_extra_pins() -> None:
    (pinned,) = re.findall(r'^    "keras==([\d.]+)",$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert keras_of_this_kedge() == pinned


def test_verify_model_notes_other_versions_and_still_proves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_with(tmp_path, keras="3.3.0", onnxruntime=HERE["onnxruntime"])
    sentence = f"made with keras 3.3.0, this version of Kedge exports with {HERE['keras']}"
    assert cli.main([str(tmp_path / "tiny" / "1")]) == 0
    assert f"\nnote: {sentence}\n" in capsys.readouterr().out
    assert cli.main([str(tmp_path / "tiny" / "1"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [sentence]


def test_the_requirements_of_a_bundle_are_those_of_what_made_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = made_with(tmp_path, keras="3.3.0", tf2onnx="1.17.0")
    assert requirements(manifest.toolchain) == ["keras==3.3.0", "tf2onnx==1.17.0"]
    assert cli.main([str(tmp_path / "tiny" / "1"), "--requirements"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "# tiny version 1 was made with python 3.11, test",
        "keras==3.3.0",
        "tf2onnx==1.17.0",
    ]
    assert cli.main([str(tmp_path / "tiny" / "1"), "--requirements", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requirements"] == ["keras==3.3.0", "tf2onnx==1.17.0"]


def test_a_runtime_is_named_with_its_version() -> None:
    assert runtime_version("onnx") == f"onnxruntime {version('onnxruntime')}"


def test_a_bundle_that_records_no_packages_has_no_requirements(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_with(tmp_path)
    assert cli.main([str(tmp_path / "tiny" / "1"), "--requirements"]) == 3
    assert "the manifest records no packages" in capsys.readouterr().err
