"""Where there is no Chromium and none can be installed, the script says so in one sentence."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.report.conftest import CANNOT_BE_HAD, ROOT


@pytest.mark.parametrize(("programs", "why"), [((), "there is no apt-get"), (("apt-get",), "only root can")])
def test_where_chromium_cannot_be_had_the_script_says_why(tmp_path: Path, programs: tuple[str, ...], why: str):
    for program in ("bash", "dirname"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    for program in (*programs, "id"):
        (tmp_path / program).write_text("#!/bin/bash\necho 1000\n")
        (tmp_path / program).chmod(0o755)
    done = subprocess.run(
        [str(shutil.which("bash")), ROOT / "scripts" / "test_report.sh", "--install"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == CANNOT_BE_HAD
    assert done.stderr.startswith(f"Chromium cannot be installed: {why}")
    assert len(done.stderr.splitlines()) == 1
