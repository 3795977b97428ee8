"""What several folders share: one real export of the example with two outputs, made with the commands of the README."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def two_outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of `examples/two_outputs` in all three formats: the directory two_outputs/1 of a repository."""
    work = tmp_path_factory.mktemp("two_outputs")
    commands = (
        [sys.executable, "-m", "examples.two_outputs.train", work / "two_outputs.keras"],
        [BIN / "export-model", work / "two_outputs.keras", "--output", work / "models"],
    )
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return work / "models" / "two_outputs" / "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The zoo first: it takes longest, and a process that begins it last would be left alone with it."""
    items.sort(key=lambda item: "tests/zoo/test_zoo.py" not in item.nodeid)
