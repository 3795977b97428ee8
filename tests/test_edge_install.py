"""An edge box: a virtual environment of `kedge[server,onnx,tflite]` alone, with the built wheel and no TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.store import open_bundle
from tests.services.server_process import running_server

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment from requirements/server.lock and the wheel."""
    work = tmp_path_factory.mktemp("edge")
    python = work / "venv" / "bin" / "python"
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work / "dist")])
    run([sys.executable, "-m", "venv", "--without-pip", str(work / "venv")])
    install = [UV, "pip", "install", "--no-config", "--quiet", "--python", python]
    run([*install, "--require-hashes", "-r", ROOT / "requirements" / "server.lock"])
    (wheel,) = (work / "dist").glob("kedge-*.whl")
    run([*install, "--no-deps", wheel])
    return python.parent


def run(command: list[str | Path], cwd: Path = ROOT) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_it_holds_no_tensorflow_and_only_our_names(edge: Path, tmp_path: Path):
    listed = run([UV, "pip", "list", "--no-config", "--format", "json", "--python", edge / "python"])
    names = {package["name"] for package in json.loads(listed)}
    assert names & {"tensorflow", "keras", "tf2onnx", "onnx", "h5py"} == set()
    assert {"kedge", "numpy", "pydantic", "grpcio", "onnxruntime"} <= names
    site = Path(
        run([edge / "python", "-c", "import kedge_bundle; print(kedge_bundle.__path__[0])"], tmp_path).strip()
    ).parent
    top = {path.name for path in site.iterdir()}
    assert {name for name in top if name.startswith("kedge_")} == {
        "kedge_bundle",
        "kedge_exporter",
        "kedge_server",
    }
    assert {"server", "exporter", "bundle", "tests", "examples"} & top == set()


def test_it_verifies_the_formats_that_it_can_run_and_says_which_it_cannot(
    edge: Path, two_outputs: Path, tmp_path: Path
):
    report = json.loads(run([edge / "verify-model", two_outputs, "--json"], tmp_path))
    verdicts = {entry["format"]: entry["verdict"] for entry in report["formats"]}
    assert verdicts["saved_model"] == "not checked"
    assert {verdicts["onnx"], verdicts["tflite"]} <= {"bit-exact", "rounding-equivalent"}


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_it_serves_and_answers_as_keras_did(edge: Path, two_outputs: Path, tmp_path: Path, format_name: str):
    case = open_bundle(two_outputs).golden[0]
    np.savez(tmp_path / "inputs.npz", **case.inputs)
    with running_server(two_outputs, "--format", format_name, command=edge / "serve-model") as server:
        for protocol in ("tensorflow-serving", "open-inference"):
            answer = tmp_path / f"{protocol}.npz"
            run([edge / "query-model", server.grpc, "two_outputs", "--data", tmp_path / "inputs.npz",
                 "--protocol", protocol, "--output", answer], tmp_path)  # fmt: skip
            got = np.load(answer)
            assert set(got.files) == {"classifier", "reconstruction"}
            for name, expected in case.outputs.items():
                np.testing.assert_allclose(got[name], expected, atol=1e-5)
        assert server.stop() == 0
