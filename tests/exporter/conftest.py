"""Real `.keras` files, real exports, the real command. TensorFlow never enters the test process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kedge_bundle.store import Bundle, open_bundle
from kedge_exporter.processes import export_environment

ROOT = Path(__file__).parents[2]
EXPORT_MODEL = Path(sys.executable).with_name("export-model")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_module(module: str, *arguments: Path, work: Path) -> str:
    """Run a module of the tests with TensorFlow as the exporter sets it up; its standard output."""
    finished = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=export_environment(work),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    return finished.stdout


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every model of `models.py`."""
    directory = tmp_path_factory.mktemp("keras-files")
    run_module("tests.exporter.models", directory, work=tmp_path_factory.mktemp("work"))
    return directory


@dataclass(frozen=True)
class Exports:
    """What `export_many` made: outcomes by model, and where the bundles are."""

    repository: Path
    outcomes: dict[str, dict[str, Any]]

    def bundle(self, name: str) -> Bundle:
        """The bundle of one model, with its hashes checked."""
        assert self.outcomes[name]["exit_code"] == 0, self.outcomes[name]
        return open_bundle(self.repository / name / "1")


@pytest.fixture(scope="session")
def exports(model_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Every model of `export_many`, exported in one process."""
    repository = tmp_path_factory.mktemp("models")
    printed = run_module("tests.exporter.export_many", model_files, repository, work=tmp_path_factory.mktemp("work"))
    outcomes = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return Exports(repository, {outcome["name"]: outcome for outcome in outcomes})


@pytest.fixture
def export_model(tmp_path: Path) -> Run:
    """Runs the command as a user would, in an empty directory."""

    def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(EXPORT_MODEL), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(scratch), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return run


@pytest.fixture(scope="session")
def two_outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two-output model of the examples, made by its own script."""
    path = tmp_path_factory.mktemp("example") / "two_outputs.keras"
    finished = subprocess.run(
        [sys.executable, "-m", "examples.two_outputs.train", str(path), "--epochs", "2"],
        cwd=ROOT,
        env=export_environment(path.parent),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert "of the training digits right in Keras" in finished.stdout
    return path
