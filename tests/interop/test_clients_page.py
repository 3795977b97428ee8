"""The programs of docs/clients.md, run as they stand there but for the address."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from kedge_bundle.signature import Signature, TensorSpec
from tests.services.bundles import TinyModel, publish
from tests.services.server_process import ServerProcess, running_server

pytestmark = pytest.mark.timeout(900)  # making the environment may download TensorFlow

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^(query-model .*?)(?: {2,}#.*)?$", PAGE.read_text("utf-8"), re.MULTILINE)


def two_outputs() -> TinyModel:
    """The signature of the page's model, with the least arithmetic that has it."""

    def spec(name: str, size: int) -> TensorSpec:
        return TensorSpec(name=name, dtype="float32", shape=(None, size))

    weights = np.eye(784, 10, dtype=np.float32)
    return TinyModel(
        signature=Signature(
            inputs=(spec("pixel_input", 784),), outputs=(spec("classifier", 10), spec("reconstruction", 784))
        ),
        nodes=[
            helper.make_node("MatMul", ["pixel_input", "weights"], ["classifier"]),
            helper.make_node("Identity", ["pixel_input"], ["reconstruction"]),
        ],
        initializers=(numpy_helper.from_array(weights, "weights"),),
        answer=lambda inputs: {"classifier": inputs["pixel_input"] @ weights, "reconstruction": inputs["pixel_input"]},
        golden_inputs={"pixel_input": np.ones((2, 784), np.float32)},
    )


@pytest.fixture(scope="module")
def page_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("models")
    publish(two_outputs(), repository, "two_outputs")
    with running_server(repository) as server:
        yield server


def run(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program_with(word: str) -> str:
    (program,) = [program for program in PROGRAMS if word in program]
    return program


def test_there_are_three_programs():
    assert len(PROGRAMS) == 3


def test_the_program_with_our_client(page_server: ServerProcess):
    program = program_with("kedge_server.client").replace("localhost:8500", page_server.grpc)
    assert run([sys.executable, "-c", program]).splitlines() == [
        "(2, 10)",
        "INVALID_ARGUMENT",
        "input 'pixels': the model has no such input; it has 'pixel_input'",
        "input 'pixel_input': missing; expected float32 of shape [batch, 784]",
    ]


@pytest.mark.parametrize("word", ["tensorflow_serving", "tritonclient"])
def test_the_programs_with_the_peers_clients(page_server: ServerProcess, interop_python: Path, word: str):
    program = program_with(word).replace("localhost:8500", page_server.grpc)
    assert run([interop_python, "-c", program]).splitlines()[-1] == "(2, 10)"


def test_the_commands(page_server: ServerProcess, tmp_path: Path):
    np.savez(tmp_path / "samples.npz", pixel_input=np.ones((2, 784), np.float32))
    np.save(tmp_path / "x.npy", np.ones((2, 784), np.float32))
    asked = [command for command in COMMANDS if " two_outputs" in command and "golden" not in command]
    assert len(asked) == 3
    for command in asked:
        words = command.replace("localhost:8500", page_server.grpc).split()
        words[0] = str(Path(sys.executable).with_name("query-model"))
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "classifier" in done.stdout
    with np.load(tmp_path / "answers.npz") as answers:
        assert sorted(answers) == ["classifier", "reconstruction"]
