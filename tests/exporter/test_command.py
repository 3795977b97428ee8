"""`export-model` as a user runs it: output, exit codes, and what is left on the disk."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.runtimes import open_runtime
from kedge_bundle.store import open_bundle
from tests.exporter.conftest import EXPORT_MODEL, Run

WRONG_WEIGHT = """
import kedge_exporter.formats.onnx as onnx_format
check = onnx_format._check
def spoiled(model):
    weights = next(t for t in model.graph.initializer if t.data_type == 1 and len(t.raw_data) > 64)
    first = bytearray(weights.raw_data)
    first[2] ^= 0x40
    weights.raw_data = bytes(first)
    check(model)
onnx_format._check = spoiled
"""
SABOTAGE = {
    # The user's own module runs in the export's process: what it does, exit code, what is said.
    "a wrong weight": (WRONG_WEIGHT, 1, r"onnx: case '[a-z]+-\d', output 'digit': largest error .*, allowed"),
    "a kill": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
        6,
        r"killed by SIGKILL; the machine may be out of memory in the phase 'load'; nothing was published",
    ),
    "an exception": (
        "raise RuntimeError('no')\n",
        2,
        r"--custom scratch/sabotage.py: importing it raised RuntimeError",
    ),
}


def left_behind(directory: Path) -> list[str]:
    """Everything under a directory but the scratch folder's logs."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.name != "export.log")


def test_help_names_the_exit_codes_and_imports_nothing_heavy(export_model: Run) -> None:
    start = time.monotonic()
    finished = export_model("--help")
    assert finished.returncode == 0
    assert "exit codes:" in finished.stdout
    assert time.monotonic() - start < 10


def test_two_outputs_keep_their_names_and_places_in_all_formats(
    export_model: Run, two_outputs: Path, tmp_path: Path
) -> None:
    finished = export_model(two_outputs, "--output", "out", "--verbose")
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert lines[0].split() == ["format", "bytes", "batch", "verdict", "largest", "error"]
    assert [line.split()[0] for line in lines[1:4]] == ["saved_model", "tflite", "onnx"]
    assert lines[4] == "proven and published: out/two_outputs/1"
    # Nothing of TensorFlow's own chatter: every line on stderr is a phase.
    assert all(re.match(r"[a-z_ ]{20} +\d+\.\d s  ", line) for line in finished.stderr.splitlines()), finished.stderr

    bundle = open_bundle(tmp_path / "out" / "two_outputs" / "1")
    assert bundle.manifest.signature.input_names == ("pixel_input",)
    assert bundle.manifest.signature.output_names == ("classifier", "reconstruction")
    pixels = np.random.default_rng(1).uniform(size=(3, 784)).astype(np.float32)
    for artifact in bundle.manifest.artifacts:
        if artifact.format == "saved_model":
            continue  # TensorFlow stays out of this process; the proof ran this one in a process of its own
        with open_runtime(bundle, artifact) as runtime:
            answers = runtime.run({"pixel_input": pixels})
        assert {name: array.shape for name, array in answers.items()} == {
            "classifier": (3, 10),
            "reconstruction": (3, 784),
        }
        np.testing.assert_allclose(answers["classifier"].sum(axis=1), 1, rtol=1e-5)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["two_outputs"]
    # --verbose keeps the log, and nothing else.
    (log,) = [line.removeprefix("log: ") for line in lines if line.startswith("log: ")]
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == [Path(log)]


def test_two_exports_at_once_get_two_versions_and_json_is_all_that_is_printed(
    model_files: Path, tmp_path: Path, export_model: Run
) -> None:
    rows = np.random.default_rng(0).uniform(0, 16, (40, 8, 8, 1))
    np.savez(tmp_path / "samples.npz", pixels=rows, labels=np.zeros(40))
    # What the package holds besides inputs (labels) is not in the way.
    command = [EXPORT_MODEL, model_files / "cnn.keras", "--output", "out", "--formats", "onnx", "--json"]
    command += ["--data", "samples.npz", "--seed", "7"]
    running = [
        subprocess.Popen(list(map(str, command)), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    printed = [process.communicate() for process in running]
    documents = [json.loads(stdout) for stdout, _ in printed]
    assert [stderr for _, stderr in printed] == [b"", b""]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(document["version"] for document in documents) == [1, 2]
    assert {document["exit_code"] for document in documents} == {0}
    assert documents[0]["formats"][0]["verdict"] in {"bit-exact", "within-tolerance"}
    assert any("labels" in note for note in documents[0]["notes"])

    manifest = open_bundle(tmp_path / "out" / "cnn" / "2").manifest
    (stats,) = manifest.input_stats
    # Mean and deviation of training come from the layer, the range and the count from the data.
    assert (stats.source, stats.layer, stats.n) == ("data", "normalize", 40)
    assert stats.mean is not None
    assert stats.mean[0] == pytest.approx(8, abs=0.3)
    assert (stats.min, stats.max) == ((rows.astype(np.float32).min(),), (rows.astype(np.float32).max(),))
    assert manifest.toolchain.seed == 7
    assert manifest.toolchain.command[0] == "export-model"
    assert manifest.toolchain.packages.keys() >= {"keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "numpy"}
    assert manifest.source.file_name == "cnn.keras"
    assert any(case.name == "data-7" for case in open_bundle(tmp_path / "out" / "cnn" / "1").golden)

    taken = export_model(model_files / "cnn.keras", "--output", "out", "--version", "2")
    assert taken.returncode == 2
    assert "exists; published versions never change" in taken.stderr


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_a_fault_on_the_way_publishes_nothing(
    export_model: Run, model_files: Path, tmp_path: Path, sabotage: str
) -> None:
    module, exit_code, sentence = SABOTAGE[sabotage]
    (tmp_path / "scratch" / "sabotage.py").write_text(module)
    finished = export_model(
        model_files / "cnn.keras", "--output", "out", "--formats", "onnx", "--custom", "scratch/sabotage.py"
    )
    assert finished.returncode == exit_code, finished.stderr
    assert re.search(sentence, finished.stderr), finished.stderr
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_and_leaves_nothing(model_files: Path, tmp_path: Path) -> None:
    """No file may grow past 8 kB, as on a full disk; the log and the first answers fit, the formats do not."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    finished = subprocess.run(
        [
            "/bin/bash",
            "-c",
            'ulimit -f 8; exec "$@"',
            "bash",
            str(EXPORT_MODEL),
            str(model_files / "cnn.keras"),
            "--json",
        ],
        cwd=tmp_path,
        # Python would leave its caches of compiled modules cut short, for every later process to stumble over.
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(finished.stdout)
    assert finished.returncode == 5, document
    assert document["kind"] == "cannot-write"
    assert "File too large" in document["error"]
    assert not (tmp_path / "models").exists()


def test_a_stopped_export_puts_its_things_away(model_files: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [str(EXPORT_MODEL), str(model_files / "cnn.keras")],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("inspect")
    assert list((tmp_path / "models" / "cnn").iterdir())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    process.stderr.close()
    assert left_behind(tmp_path) == ["scratch"]


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
    said = [line for line in finished.stderr.splitlines() if "the log is" not in line]
    assert len(said) == 1, finished.stderr
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
        (["--seed", "-1"], "--seed -1"),
        (["--name", "a/b"], "--name 'a/b'"),
        (["--name", ".."], "--name '..'"),
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
    assert left_behind(tmp_path) == ["file", "scratch"]


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


def test_samples_that_cannot_be_read_are_a_wrong_flag(export_model: Run, model_files: Path, tmp_path: Path) -> None:
    finished = export_model(model_files / "cnn.keras", "--output", "out", "--data", "samples.npz")
    assert finished.returncode == 2, finished.stderr
    assert "--data samples.npz: cannot be read" in finished.stderr
    assert not (tmp_path / "out").exists()
