"""What is no model, and flags that cannot be followed: one clear sentence, the right exit code, nothing on the disk."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.exporter.conftest import Run


def bad_file(name: str, model_files: Path, directory: Path) -> Path:
    """One of the files that are no model."""
    path = directory / "scratch" / f"{name}.keras"
    if name == "directory":
        path.mkdir()
    elif name == "no-zip":
        path.write_text("a model, one day")
    elif name == "empty":
        path.touch()
    elif name == "truncated":
        path.write_bytes((model_files / "cnn.keras").read_bytes()[:9000])
    elif name == "other-zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "no model")
    elif name == "no-inputs":
        _without_inputs(model_files / "cnn.keras", path)
    elif name == "legacy":
        path = path.with_suffix(".h5")
        shutil.copy(model_files / "legacy.h5", path)
    return path


def _without_inputs(source: Path, target: Path) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename == "config.json":
                config = json.loads(content)
                config["config"]["input_layers"] = []
                content = json.dumps(config).encode()
            new.writestr(info.filename, content)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "no such file"),
        ("directory", "a directory; expected a .keras file"),
        ("no-zip", "not a .keras file: expected a zip archive"),
        ("empty", "an empty file"),
        ("truncated", "damaged or truncated"),
        ("other-zip", "config.json, metadata.json, model.weights.h5 missing inside"),
        ("no-inputs", "the model has no inputs"),
        ("legacy", "an HDF5 file of the older Keras format"),
    ],
)
def test_what_is_no_model_gets_one_sentence(
    export_model: Run, model_files: Path, tmp_path: Path, name: str, sentence: str
) -> None:
    finished = export_model(bad_file(name, model_files, tmp_path), "--output", "out")
    assert finished.returncode == 3, finished.stderr
    said = finished.stderr.splitlines()
    if name != "no-inputs":  # the other files are no model at all: there is nothing to look up in a log
        assert len(said) == 1, finished.stderr
        assert [path.name for path in (tmp_path / "scratch").iterdir()] in ([], [f"{name}.keras"], [f"{name}.h5"])
    assert said[0].startswith("export-model: ")
    assert sentence in said[0]
    assert finished.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_failure_is_one_json_document_too(export_model: Run, tmp_path: Path) -> None:
    finished = export_model("gone.keras", "--json", "--output", "out")
    document = json.loads(finished.stdout)
    assert (finished.returncode, document["exit_code"], document["kind"]) == (3, 3, "model-unreadable")
    assert "no such file" in document["error"]
    assert finished.stderr == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--formats", "onnx,coreml"], "expected some of saved_model, tflite, onnx"),
        (["--formats", ""], "expected some of saved_model, tflite, onnx"),
        (["--opset", "99"], "--opset 99: expected 13 to 18"),
        (["--version", "0"], "--version 0"),
        (["--version", str(2**63)], f"--version {2**63}"),
        (["--seed", "-1"], "--seed -1"),
        (["--name", "a/b"], "--name 'a/b'"),
        (["--name", ".."], "--name '..'"),
        (["--custom", "gone.py"], "--custom gone.py: no such file"),
        (["--unknown"], "unrecognized arguments: --unknown"),
        (["--output", "file/below"], "--output file/below: cannot be written: Not a directory"),
    ],
)
def test_a_wrong_flag_is_named_before_any_work(
    export_model: Run, tmp_path: Path, flags: list[str], sentence: str
) -> None:
    (tmp_path / "file").write_text("a regular file; not even root makes a directory below it")
    finished = export_model("model.keras", *flags)
    assert finished.returncode == 2, finished.stderr
    assert sentence in finished.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "scratch"]


def test_a_machine_without_the_exporters_packages_is_told_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['tf2onnx'] = None; from kedge_exporter.cli import main; main(['model.keras'])"
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert finished.stderr.startswith("export-model: export-model needs tf2onnx, not installed in ")
    assert "pip install 'kedge[export]'" in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_flag_is_a_json_document_with_json(export_model: Run) -> None:
    finished = export_model("model.keras", "--json", "--opset", "many")
    document = json.loads(finished.stdout)
    assert (finished.returncode, document["kind"]) == (2, "usage")
    assert "--opset" in document["error"]


def test_an_output_that_cannot_be_written_is_said_before_any_work(
    export_model: Run, model_files: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file, where a directory is to be")
    finished = export_model(model_files / "cnn.keras", "--output", "out", "--json")
    document = json.loads(finished.stdout)
    assert (finished.returncode, document["kind"]) == (2, "output-not-writable")
    assert re.search(r"--output out: cannot be written: (Not a directory|File exists)", document["error"]), document
    assert (tmp_path / "out").read_text().startswith("a file")


def test_samples_that_cannot_be_read_are_a_wrong_flag(export_model: Run, model_files: Path, tmp_path: Path) -> None:
    finished = export_model(model_files / "cnn.keras", "--output", "out", "--data", "samples.npz")
    assert finished.returncode == 2, finished.stderr
    assert "--data samples.npz: cannot be read" in finished.stderr
    assert not (tmp_path / "out").exists()
