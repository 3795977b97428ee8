"""Files that were made to do harm, through the command: exit code 3, one sentence, nothing left, no harm done.

Each attack has a canary: a file that its code would write, or whose content it would carry off. Single checks are
tested one by one in `keras_file/`.
"""

import base64
import json
import marshal
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kedge_exporter.inspect import inspect
from tests.exporter.conftest import ROOT, Run
from tests.exporter.keras_file.test_archive import entry, with_member
from tests.exporter.keras_files import keras_file, layer, model, weights

CONFIDENTIAL = "what only the operator may read"
INPUT = {
    "module": "keras.layers",
    "class_name": "InputLayer",
    "config": {"batch_shape": [None, 3], "dtype": "float32", "name": "x"},
    "registered_name": None,
    "name": "x",
    "inbound_nodes": [],
}


def graph(victim: dict[str, Any]) -> dict[str, Any]:
    """A model that Keras would build: one input, and the victim called with it."""
    tensor = {"shape": [None, 3], "dtype": "float32", "keras_history": ["x", 0, 0]}
    victim["inbound_nodes"] = [{"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}]
    config = model(INPUT, victim)
    config["config"] |= {"input_layers": ["x", 0, 0], "output_layers": [victim["name"], 0, 0]}
    return config


def bytecode(path: Path, canary: Path) -> None:
    """A Lambda whose code writes the canary (CVE-2024-3660)."""
    code = compile(f"open({str(canary)!r}, 'w').write('ran')", "lambda", "eval")
    function = {"class_name": "__lambda__", "config": {"value": [base64.b64encode(marshal.dumps(code)).decode()]}}
    keras_file(path, config__json=graph(layer("Lambda", function=function)))


def any_module(path: Path, canary: Path) -> None:
    """A function of any module, called with what the file says (CVE-2025-1550)."""
    function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    keras_file(path, config__json=graph(layer(units=2, activation=function, name=f"touch {canary}")))


def switch_off(path: Path, canary: Path) -> None:
    """Keras' own switch for the safe mode, pulled by the file (CVE-2025-9906), then bytecode."""
    function = {"module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization"}
    keras_file(path, config__json=graph(layer(units=2, activation=function, name=f"touch {canary}")))


def words_from_elsewhere(path: Path, canary: Path) -> None:
    """A vocabulary that is another file of this machine (CVE-2025-12058)."""
    keras_file(path, config__json=graph(layer("StringLookup", vocabulary=str(canary.with_name("secret")))))


def weights_from_elsewhere(path: Path, canary: Path) -> None:
    """Weights whose values lie in another file (CVE-2026-1669)."""

    def outside(file: Any) -> None:  # noqa: ANN401 (h5py ships no types)
        secret = str(canary.with_name("secret"))
        file.create_dataset(
            "layers/dense/vars/2", (len(CONFIDENTIAL),), "u1", external=[(secret, 0, len(CONFIDENTIAL))]
        )

    keras_file(path, model__weights__h5=weights(outside))


def weights_from_a_link(path: Path, canary: Path) -> None:
    def outside(file: Any) -> None:  # noqa: ANN401
        file["layers/dense/vars/2"] = h5py.ExternalLink(str(canary.with_name("secret")), "/")

    keras_file(path, model__weights__h5=weights(outside))


def a_way_out(path: Path, canary: Path) -> None:
    """An asset that is unpacked beside its place (CVE-2025-12060)."""
    with_member(path, entry("assets/../../../.." + str(canary)))


def a_model_inside(path: Path, canary: Path) -> None:
    """A layer that loads a SavedModel from a path (CVE-2026-1462)."""
    keras_file(path, config__json=graph(layer("TFSMLayer", filepath=str(canary.with_name("secret")))))


ATTACKS: dict[Callable[[Path, Path], None], str] = {
    bytecode: "a Lambda is refused",
    any_module: "the function 'system' of the module 'os' is not part of Keras",
    switch_off: "the function 'enable_unsafe_deserialization' of the module 'keras.config' is refused",
    words_from_elsewhere: "its vocabulary is the path or URL",
    weights_from_elsewhere: "its values lie in another file",
    weights_from_a_link: "a link to another file",
    a_way_out: "a part '..'",
    a_model_inside: "a TFSMLayer is refused: it loads another SavedModel",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_ends_with_code_3_and_does_nothing(
    export_model: Run, tmp_path: Path, attack: Callable[[Path, Path], None]
) -> None:
    (tmp_path / "secret").write_text(CONFIDENTIAL)
    canary = tmp_path / "canary"
    attack(tmp_path / "m.keras", canary)
    finished = export_model("m.keras", "--output", "out")
    assert finished.returncode == 3, finished.stderr
    said = finished.stderr.splitlines()
    assert said[0].startswith("export-model: m.keras: ")
    assert ATTACKS[attack] in said[0]
    assert not canary.exists()
    assert (tmp_path / "secret").read_text() == CONFIDENTIAL
    assert not (tmp_path / "out").exists()
    left = [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
    assert [path.name for path in left] in ([], ["export.log"])
    assert not any(CONFIDENTIAL in path.read_text() for path in left)


def test_reading_a_file_imports_neither_keras_nor_tensorflow(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    program = (
        "import sys; from pathlib import Path; from kedge_exporter.inspect import inspect; "
        f"inspect(Path({str(path)!r})); print({{'keras', 'tensorflow', 'onnx'}} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "set()\n"


def test_mutants_are_refused_or_taken_and_break_nothing(tmp_path: Path) -> None:
    (tmp_path / "mutants").mkdir()
    finished = subprocess.run(
        [sys.executable, "-m", "tests.exporter.fuzz_inspect", str(tmp_path / "mutants"), "7", "300"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
    report = json.loads(finished.stdout)
    assert report["outcomes"].keys() == {"taken", "exit 3"}
    assert min(report["outcomes"].values()) > 40
    assert report["slowest"] < 3
    assert [path.name for path in tmp_path.rglob("*")] == ["mutants", "m.keras"]


def test_a_model_that_needs_too_much_memory_is_stopped(export_model: Run, tmp_path: Path) -> None:
    victim = graph(layer(units=250_000_000))
    keras_file(tmp_path / "m.keras", config__json=victim)
    finished = export_model(
        "m.keras", "--output", "out", "--formats", "onnx", "--memory-limit-mb", "1200", TF_NUM_INTRAOP_THREADS="1"
    )
    assert finished.returncode == 3, finished.stderr
    assert "the model needs more memory than the limit of 1,200 MB" in finished.stderr
    assert "--memory-limit-mb sets another limit" in finished.stderr
    assert "in the phase 'load', nothing was published" in finished.stderr
    assert not (tmp_path / "out").exists()
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.is_file() and path.name != "export.log"]


def test_a_model_that_takes_too_long_is_stopped(export_model: Run, model_files: Path, tmp_path: Path) -> None:
    finished = export_model(model_files / "cnn.keras", "--output", "out", "--json", "--load-timeout-s", "0.5")
    assert finished.returncode == 3, finished.stderr
    document = json.loads(finished.stdout)
    assert document["kind"] == "model-refused"
    assert "the model was not loaded within 0.5 s; --load-timeout-s sets another limit" in document["error"]
    assert not (tmp_path / "out").exists()


def test_a_file_that_breaks_a_library_is_refused(export_model: Run, model_files: Path, tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    finished = export_model(model_files / "cnn.keras", "--output", "out", "--formats", "onnx", "--custom", "breaks.py")
    assert finished.returncode == 3, finished.stderr
    assert "a library broke on what the file holds: the export's process was killed by SIGSEGV" in finished.stderr
    assert not (tmp_path / "out").exists()


def test_the_user_may_change_the_file_while_it_is_exported(tmp_path: Path) -> None:
    """What was inspected is in a copy; the name of the user's file is what messages say."""
    path = keras_file(tmp_path / "m.keras")
    (tmp_path / "work").mkdir()
    contents = inspect(path, copy_into=tmp_path / "work")
    bytecode(path, tmp_path / "canary")
    assert contents.copy is not None
    assert inspect(contents.copy).content_sha256 == contents.content_sha256
    assert np.array_equal(list(contents.layer_classes), ["Functional", "Dense"])
