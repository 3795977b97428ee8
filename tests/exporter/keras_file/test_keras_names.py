"""The allow-list is what the pinned Keras defines; a new Keras is a change of the list that somebody reads."""

import subprocess
import sys
from pathlib import Path

from kedge_exporter.keras_file import config_json
from kedge_exporter.processes import export_environment
from tests.exporter.conftest import ROOT


def test_the_list_is_that_of_the_keras_that_is_installed(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "scripts/keras_names"],
        cwd=ROOT, env=export_environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
    committed = Path(config_json.__file__).parent / "keras_names.json"
    assert finished.stdout == committed.read_text("utf-8"), f"scripts/keras_names > {committed.relative_to(ROOT)}"
