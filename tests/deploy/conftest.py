"""Prometheus's programs, Debian's where the machine has none."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def prometheus_programs() -> Path:
    """The directory with `prometheus` and `promtool`."""
    installed = shutil.which("prometheus")
    if installed is not None and shutil.which("promtool") is not None:
        return Path(installed).parent
    if shutil.which("apt-get") is None:
        pytest.skip("there is no prometheus on PATH, and no apt-get to download it with")
    directory = ROOT / "build" / "prometheus"
    done = subprocess.run(
        [ROOT / "scripts" / "install_prometheus", directory], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory
