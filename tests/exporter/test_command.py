"""`export-model` as a user runs it: output, exit codes, and what is left on the disk."""

import json
import re
import signal
import subprocess
import time
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
    "a wrong weight": (WRONG_WEIGHT, 1, r"onnx: case '[a-z]+-\d', output 'digit': largest error .* is rounding here"),
    "a kill": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
        6,
        r"killed by SIGKILL; the machine may be out of memory in the phase 'load'; nothing was published",
    ),
    "an exception": (
        "raise RuntimeError('no')\n",
        2,
        r"--custom sabotage.py: importing it raised RuntimeError",
    ),
}


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
    proof = json.loads((bundle.directory / "parity.json").read_text())
    # A format has a report for each kind of session that it was proven in.
    assert list(dict.fromkeys(report["format"] for report in proof["reports"])) == ["saved_model", "tflite", "onnx"]
    for case in (case for report in proof["reports"] for case in report["cases"]):
        compared = {output["output"]: output["values"] for output in case["outputs"]}
        assert compared == {"classifier": 10 * case["rows"], "reconstruction": 784 * case["rows"]}
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
    assert documents[0]["formats"][0]["verdict"] in {"bit-exact", "rounding-equivalent"}
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
    (tmp_path / "sabotage.py").write_text(module)
    finished = export_model(
        model_files / "cnn.keras", "--output", "out", "--formats", "onnx", "--custom", "sabotage.py"
    )
    assert finished.returncode == exit_code, finished.stderr
    assert re.search(sentence, finished.stderr), finished.stderr
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "out").exists()
    # What the libraries printed is kept where they printed anything; a process that was killed had no time to.
    left = [path.name for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
    assert left == ["export.log"] or (left == [] and sabotage == "a kill")


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_export_puts_its_things_away(model_files: Path, tmp_path: Path, number: signal.Signals) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        # Whoever runs the tests in the background may ignore signals, and children inherit that.
        ["/usr/bin/env", "--default-signal", str(EXPORT_MODEL), str(model_files / "cnn.keras")],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("inspect")
    assert list((tmp_path / "models" / "cnn").iterdir())
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    process.stderr.close()
    assert [path.name for path in tmp_path.rglob("*")] == ["scratch"]


def test_a_second_ctrl_c_does_not_wait_for_an_export_that_is_deaf(model_files: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "deaf.py").write_text(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('it is deaf').touch()\n"
        "time.sleep(60)\n"
    )
    command = [str(EXPORT_MODEL), str(model_files / "cnn.keras"), "--custom", "deaf.py"]
    process = subprocess.Popen(
        ["/usr/bin/env", "--default-signal", *command],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "scratch"), "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "it is deaf").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 128 + signal.SIGINT
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deaf.py", "it is deaf", "scratch"]
