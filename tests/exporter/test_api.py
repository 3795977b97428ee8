"""`export_model` from Python: with paths in this very process, which stays light, and with live models in another."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kedge_bundle.cases import read_npz
from kedge_bundle.store import open_bundle
from kedge_exporter import export_model
from kedge_exporter.errors import (
    ExportError,
    ModelRefused,
    ModelUnreadable,
    OutputNotWritable,
    ParityNotProven,
    UsageError,
)
from kedge_exporter.flags import parse
from kedge_exporter.given import write_samples
from kedge_exporter.processes import export_environment
from kedge_exporter.progress import PhaseEvent
from tests.exporter.conftest import ROOT, run_module
from tests.exporter.keras_files import keras_file, layer, model
from tests.exporter.test_command import WRONG_WEIGHT
from tests.test_imports import HEAVY, run_blocked

STOPPED = """
import json, os, signal, sys, time
from kedge_exporter import export_model
from kedge_exporter.limits import family

def on_phase(event):
    if event.name == "load":
        print("loading", flush=True)

try:
    export_model(sys.argv[1], "models", formats="onnx", on_phase=on_phase)
except KeyboardInterrupt:
    print(f"stopped, {len(family(os.getpid()))} process", flush=True)
"""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; and the folder around it is where exports go."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(tmp_path)
    return scratch


def files_in(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


def test_the_import_is_light_and_says_what_there_is() -> None:
    done = run_blocked(
        HEAVY | {"grpc", "pydantic"},
        "import kedge_exporter as k\nassert 'export_model' in k.__all__\nassert not hasattr(k, 'serve_model')",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run_blocked(HEAVY | {"grpc"}, "from kedge_exporter import Exported, export_model")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_flag_of_the_command_is_an_argument() -> None:
    flags = set(vars(parse(["model.keras"]))) - {"json"}
    assert set(signature(export_model).parameters) == flags | {"on_phase"}


def test_a_path_is_exported_quietly_whatever_backend_this_process_has(
    model_files: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # it is not installed: the export would fail with it
    np.savez("samples.npz", pixels=np.random.default_rng(0).uniform(0, 16, (40, 8, 8, 1)))
    events: list[PhaseEvent] = []
    result = export_model(
        model_files / "cnn.keras", "out", name="digits", data="samples.npz", formats=["onnx"], seed=7, atol=1e-3,
        on_phase=events.append,
    )  # fmt: skip
    assert capfd.readouterr() == ("", "")
    assert result.path == Path("out/digits/1")
    assert result.artifact("onnx").is_file()
    assert [(one.format, one.verdict != "failed") for one in result.formats] == [("onnx", True)]
    assert result.formats[0].verdict in repr(result)
    assert result.formats[0].verdict in result._repr_html_()
    assert files_in(scratch) == []
    names = [event.name for event in events if event.seconds is not None]
    assert (names[0], names[-1]) == ("inspect", "publish")
    assert len(events) == 2 * len(names)

    manifest = open_bundle(result.path).manifest
    assert manifest.toolchain.seed == 7
    assert {stats.n for stats in manifest.input_stats} == {40}
    # What is recorded is the command that says the same.
    assert manifest.toolchain.command[0] == "export-model"
    assert {"--name=digits", "--data=samples.npz", "--formats=onnx", "--seed=7", "--atol=0.001"} <= set(
        manifest.toolchain.command
    )


def test_a_wrong_weight_is_an_exception_with_every_comparison(model_files: Path, scratch: Path) -> None:
    Path("sabotage.py").write_text(WRONG_WEIGHT)
    with pytest.raises(ParityNotProven, match=r"onnx: case '.*', output 'digit'") as caught:
        export_model(model_files / "cnn.keras", formats="onnx", custom="sabotage.py")
    assert "failed" in {report.verdict for report in caught.value.reports}
    assert any(case.verdict == "failed" for report in caught.value.reports for case in report.cases)
    assert not Path("models").exists()
    # As with the command, the log of a failure is kept, and said.
    (log,) = [path for path in scratch.rglob("*") if path.is_file()]
    assert caught.value.__notes__ == [f"the log is {log}"]


@pytest.mark.parametrize(
    ("given", "arguments", "kind", "said"),
    [
        ("missing.keras", {}, ModelUnreadable, r"missing.keras: no such file"),
        ("text.keras", {}, ModelUnreadable, r"text.keras: "),
        ("own.keras", {}, ModelRefused, r"give the Python module that defines it with custom=module.py"),
        ("own.keras", {"formats": "tflite,onix"}, UsageError, r"formats='tflite,onix': expected some of saved_model"),
        ("own.keras", {"formats": []}, UsageError, r"formats='': expected some of"),
        ("own.keras", {"opset": 99}, UsageError, r"opset=99: expected 13 to 18"),
        ("own.keras", {"seed": "x"}, UsageError, r"argument seed: invalid int value: 'x'; see help\(export_model\)"),
        ("own.keras", {"rtol": -1.0}, UsageError, r"rtol=-1: expected 0 or more"),
        ("own.keras", {"name": "--force"}, UsageError, r"name='--force': expected at most 128 letters"),
        ("own.keras", {"quantize": "int8"}, UsageError, r"quantize= int8: it needs data="),
        ("own.keras", {"custom": "none.py"}, UsageError, r"custom=none.py: no such file"),
        ("own.keras", {"timeout_s": 0.0}, UsageError, r"timeout_s=0: expected more than 0 seconds"),
        ("own.keras", {"data": {"x": [[1], [2, 3]]}}, UsageError, r"data: 'x' is no array: "),
        ("own.keras", {"data": {1: [1.0]}}, UsageError, r"data: expected arrays by the names of .*, got the key 1"),
        ("own.keras", {"data": {"x": 3.0}}, UsageError, r"data: 'x': expected an array of rows .*, got a float"),
        ("own.keras", {"data": [None, None]}, UsageError, r"data: 'data': expected an array of rows"),
        ("own.keras", {"output": "text.keras"}, OutputNotWritable, r"output=text.keras: cannot be written"),
        (["own.keras"], {}, UsageError, r"expected the path of a .keras file or a Keras 3 model, got a list of built"),
    ],
)
def test_what_cannot_be_is_said_in_words_of_python_and_leaves_nothing(
    scratch: Path, given: object, arguments: dict[str, Any], kind: type[ExportError], said: str
) -> None:
    keras_file(Path("own.keras"), config__json=model(layer("Mine", "mine")))
    Path("text.keras").write_text("no model")
    with pytest.raises(kind, match=said) as caught:
        export_model(given, **arguments)
    assert type(caught.value) is kind
    assert not Path("models").exists()
    assert [path for path in scratch.rglob("*") if path.is_file() and path.name != "export.log"] == []


def test_what_the_caller_raises_stops_the_export(model_files: Path, scratch: Path) -> None:
    def on_phase(event: PhaseEvent) -> None:
        if event.name == "load":
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        export_model(model_files / "cnn.keras", on_phase=on_phase)
    assert files_in(scratch.parent) == ["scratch"]


@pytest.mark.parametrize("is_whole_group", [False, True], ids=["this process", "the whole group, as notebooks do"])
def test_ctrl_c_leaves_no_file_and_no_process(model_files: Path, tmp_path: Path, *, is_whole_group: bool) -> None:
    (tmp_path / "scratch").mkdir()
    process = subprocess.Popen(
        ["/usr/bin/env", "--default-signal", sys.executable, "-c", STOPPED, str(model_files / "cnn.keras")],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    assert list((tmp_path / "models" / "cnn").iterdir())
    (os.killpg if is_whole_group else os.kill)(process.pid, signal.SIGINT)
    said, complaints = process.communicate(timeout=30)
    assert (said, complaints) == ("stopped, 1 process\n", "")
    assert files_in(tmp_path) == ["scratch"]


def test_arrays_are_written_as_they_are_and_twice_the_same(tmp_path: Path) -> None:
    data = {
        "file": np.arange(6).reshape(3, 2),  # numpy.savez has an argument of this name
        "words": np.array([["a"], ["bé"], [""]], object),
        "list": [[1.5], [2.5]],
        "flags": [True, False],
    }
    write_samples(data, tmp_path / "a.npz")
    write_samples(data, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = read_npz(tmp_path / "a.npz")
    assert list(read) == list(data)
    np.testing.assert_array_equal(read["file"], data["file"])
    assert read["words"].tolist() == [[b"a"], ["bé".encode()], [b""]]
    assert (read["list"].dtype, read["flags"].dtype) == (np.float64, np.bool_)
    write_samples(np.ones((2, 3)), tmp_path / "one.npz")
    assert {name: array.shape for name, array in read_npz(tmp_path / "one.npz").items()} == {"data": (2, 3)}


@dataclass(frozen=True)
class Session:
    """What `live_exports` wrote down and printed."""

    outcomes: dict[str, Any]
    printed: str
    left: list[str]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    directory, work = tmp_path_factory.mktemp("live"), tmp_path_factory.mktemp("work")
    printed = run_module("tests.exporter.live_exports", directory, work=work)
    left = [path.name for path in work.rglob("*") if path.is_file()]
    return Session(json.loads((directory / "outcomes.json").read_text()), printed, left)


def test_a_live_model_is_exported_from_a_thread_under_its_own_name(session: Session) -> None:
    functional, subclassed, _ = session.outcomes["exported"]
    bundle = open_bundle(Path(functional["bundle"]))
    assert bundle.manifest.name == "my_first_model_v1"
    assert bundle.manifest.signature.input_names == ("words", "flower")
    assert bundle.manifest.source.file_name == "my_first_model_v1.keras"
    assert {stats.input: stats.n for stats in bundle.manifest.input_stats} == {"flower": 9}
    # No temporary file is named where it would be read later on.
    assert not any("kedge-given" in part for part in bundle.manifest.toolchain.command)
    assert "the live model 'my_first_model_v1'" in bundle.manifest.toolchain.command
    assert (functional["unchanged"], functional["version"]) == (False, 1)
    assert open_bundle(Path(subclassed["bundle"])).manifest.signature.output_names == ("score", "total")


def test_the_same_live_model_again_is_recognised(session: Session) -> None:
    *_, again = session.outcomes["exported"]
    assert (again["unchanged"], again["version"]) == (True, 1)
    assert "; force= exports it again" in again["shown"]


def test_phases_are_printed_where_that_was_asked_for_and_nowhere_else(session: Session) -> None:
    lines = session.printed.splitlines()
    assert [line.split()[0] for line in lines][:2] == ["save", "inspect"]
    assert lines[-1].split()[-3:] == ["own,", "version", "1"]
    assert sum(line.startswith("save ") for line in lines) == 1  # three models were saved, one of them with verbose


def test_the_callers_process_keeps_its_signals_and_gets_rid_of_its_children(session: Session) -> None:
    assert session.outcomes["handlers are the same"]
    assert session.outcomes["processes"] == 1
    left = {name for name in session.left if not name.startswith("fontlist")}  # the caller's own Keras has matplotlib
    assert left <= {"export.log", "keras.json"}  # logs of what was refused


def test_live_models_that_cannot_be_exported_say_what_to_do(session: Session) -> None:
    refused = session.outcomes["refused"]
    own_layers = ROOT / "tests" / "exporter" / "own_layers.py"
    expected = {
        "not built": ("ModelRefused", "the model 'empty' has no weights yet"),
        "lambda": ("ModelRefused", "the live model 'refused': config.json: layer 'lambda': a Lambda is refused"),
        "own class, in a module": ("ModelRefused", f"with custom=module.py, .*; .*'Scorer' is defined in {own_layers}"),
        "own class, in the session": ("ModelRefused", "'InThisSession' is defined in this session: move it into a mod"),
        "unsavable": ("ModelRefused", "Keras cannot save the model 'refused': Object Unsavable was created by passing"),
        "a layer": ("UsageError", "got a Dense of keras.src.layers.core.dense"),
    }
    assert refused.keys() == expected.keys()
    for name, (kind, said) in expected.items():
        assert refused[name][0] == kind
        assert re.search(said, refused[name][1]), refused[name][1]
    assert refused["lambda"][1].endswith("give the module with custom=")


def test_the_example_exports_a_live_model_in_one_line(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "examples.export_live_model", str(tmp_path / "models")],
        cwd=ROOT,
        env=export_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    lines = finished.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["format", "saved_model", "tflite", "onnx", "proven", "for"]
    assert Path(lines[-1].rpartition(" ")[2]).is_file()
    assert open_bundle(tmp_path / "models" / "iris" / "1").manifest.signature.input_names == ("flower",)
