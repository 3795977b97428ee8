"""A Chromium, Debian's where the machine has none, and one tab that all tests share."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kedge_bundle.manifest import Manifest, read_manifest
from kedge_exporter.proof_file import PROOF, Proof
from kedge_exporter.report.data import ReportData
from kedge_exporter.report.page import FILE_NAME, write_report
from tests.exporter.report.pages import page_data
from tests.report.chromium import Page, open_page

ROOT = Path(__file__).parents[2]
CANNOT_BE_HAD = 3
"""Exit code of `scripts/test_report.sh --install`."""

_SCRATCH = tempfile.TemporaryDirectory(prefix="kedge-matplotlib-")
os.environ.setdefault("MPLCONFIGDIR", _SCRATCH.name)


@dataclass(frozen=True)
class Report:
    """A page with what it speaks of, read back from the files beside it."""

    path: Path
    proof: Proof
    manifest: Manifest


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The program; installed where it is missing."""
    done = subprocess.run(
        [ROOT / "scripts" / "test_report.sh", "--install"], capture_output=True, text=True, check=False
    )
    if done.returncode == CANNOT_BE_HAD:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    found = shutil.which("chromium")
    assert found is not None
    return Path(found)


@pytest.fixture(scope="session")
def tab(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(chromium, tmp_path_factory.mktemp("chromium") / "profile") as page:
        yield page


@pytest.fixture(scope="session")
def reports(two_outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Report]:
    """The page of a real bundle, or one of hostile names with numbers of every kind."""
    hostile = tmp_path_factory.mktemp("hostile")
    data = page_data()
    (hostile / PROOF).write_text(data.proof.model_dump_json(), "utf-8")
    (hostile / "manifest.json").write_text(data.manifest.model_dump_json(), "utf-8")
    write_report(hostile, data)
    real = tmp_path_factory.mktemp("real")
    for name in (PROOF, "manifest.json"):
        shutil.copy(two_outputs / name, real / name)
    write_report(real, ReportData(read_manifest(real), Proof.model_validate_json((real / PROOF).read_bytes())))

    def report(name: str) -> Report:
        directory = {"real": real, "hostile": hostile}[name]
        proof = Proof.model_validate(json.loads((directory / PROOF).read_text("utf-8")))
        return Report(directory / FILE_NAME, proof, read_manifest(directory))

    return report
