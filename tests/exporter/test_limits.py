"""The limits of an export: measured over its whole family, and who passes one is gone with all its children."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kedge_exporter.errors import ExportCrashed, ModelRefused
from kedge_exporter.limits import (
    Limits,
    Watch,
    default_memory_bytes,
    family,
    is_crash_while_reading,
    kill_family,
    used_bytes,
)
from tests.exporter.conftest import Run

MB = 1 << 20
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; data = bytearray(b'x' * (200 << 20)); time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def parent() -> "subprocess.Popen[str]":
    """A process with a child that holds 200 MB."""
    return subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)


def wait_for(what: str, is_so: object, seconds: float = 20) -> None:
    """Wait until `is_so()`."""
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_memory_is_that_of_children_too_and_a_limit_ends_them_all(parent: "subprocess.Popen[str]") -> None:
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert family(parent.pid) == [parent.pid, child]
        wait_for("the child to take its memory", lambda: used_bytes(parent.pid) > 200 * MB)
        assert used_bytes(parent.pid) < 300 * MB
        with Watch(parent.pid, Limits(150 * MB, 60, 60), phase="load") as watch:
            assert parent.wait(20) == -9
        wait_for("the child to end", lambda: not is_alive(child))
    assert isinstance(watch.verdict, ModelRefused)
    assert "the limit of 150 MB" in str(watch.verdict)
    assert used_bytes(parent.pid) == 0


SPAWNING = """
import subprocess, sys
while True:
    print(subprocess.Popen(["/bin/sleep", "60"]).pid, flush=True)
"""


def test_a_process_that_goes_on_starting_others_leaves_none_of_them() -> None:
    with subprocess.Popen([sys.executable, "-c", SPAWNING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = int(process.stdout.readline())
        kill_family(process.pid)
        assert process.wait(20) == -9
        children = [first, *map(int, filter(str.isdigit, process.stdout.read().splitlines()))]
    wait_for("the children to end", lambda: not any(map(is_alive, children)))


@pytest.mark.parametrize(
    ("phase", "limits", "kind", "said"),
    [
        ("load", Limits(10**12, 0.2, 60), ModelRefused, "not loaded within 0.2 s; --load-timeout-s"),
        ("inspect", Limits(10**12, 0.2, 60), ModelRefused, "not loaded within 0.2 s; --load-timeout-s"),
        ("convert onnx", Limits(10**12, 0.2, 0.4), ExportCrashed, "took more than 0.4 s; --timeout-s"),
        ("convert onnx", Limits(1, 60, 60), ExportCrashed, "the limit of 0 MB"),
    ],
)
def test_a_limit_is_said_with_its_flag_and_its_phase(
    phase: str, limits: Limits, kind: type[Exception], said: str
) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process, Watch(process.pid, limits) as watch:
        watch.enter(phase)
        assert process.wait(20) == -9
    assert type(watch.verdict) is kind
    assert said in str(watch.verdict)
    assert f"stopped in the phase '{phase}', nothing was published" in str(watch.verdict)


def test_who_keeps_within_limits_is_left_alone() -> None:
    with subprocess.Popen(["/bin/sleep", "0.4"]) as process, Watch(process.pid, Limits(1 << 40, 0.2, 60)) as watch:
        watch.enter("inspect")
        watch.enter("sample")  # loading was over in time
        assert process.wait(20) == 0
    assert watch.verdict is None


def test_the_default_is_a_share_of_what_is_free_here_or_in_the_container(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 10000000 kB\nHugePages_Total: 0\n")
    assert default_memory_bytes(tmp_path, tmp_path) == int(0.8 * (10_000_000 << 10))
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("4000000000\n")
    assert default_memory_bytes(tmp_path, tmp_path) == 3_200_000_000
    (tmp_path / "memory.max").write_text("2000000000\n")
    assert default_memory_bytes(tmp_path, tmp_path) == 1_600_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert default_memory_bytes(tmp_path, tmp_path) == 3_200_000_000
    (tmp_path / "memory.max").write_text("1000000\n")
    assert default_memory_bytes(tmp_path, tmp_path) == 1 << 30, "less would not even import TensorFlow"


def test_a_system_that_tells_less_is_read_as_well(tmp_path: Path) -> None:
    assert default_memory_bytes(tmp_path, tmp_path) >= 1 << 30, "no meminfo: the share is of all memory"
    (tmp_path / "7" / "task").mkdir(parents=True)
    (tmp_path / "7" / "status").write_text("Name:\tx\nVmRSS:\t    2048 kB\n")
    assert family(7, tmp_path) == [7]
    assert used_bytes(7, tmp_path) == 2 * MB
    assert used_bytes(8, tmp_path) == 0


def test_only_a_crash_while_reading_is_the_files_doing() -> None:
    assert is_crash_while_reading("load", -11)
    assert not is_crash_while_reading("load", -9), "whoever kills a process has his reasons"
    assert not is_crash_while_reading("convert onnx", -11)
    assert not is_crash_while_reading("load", 1)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--memory-limit-mb", "0"], "--memory-limit-mb 0: expected 1 or more"),
        (["--memory-limit-mb", "much"], "--memory-limit-mb"),
        (["--load-timeout-s", "0"], "--load-timeout-s 0: expected more than 0 seconds"),
        (["--timeout-s", "nan"], "--timeout-s nan: expected more than 0 seconds"),
    ],
)
def test_a_limit_that_nothing_could_keep_is_a_wrong_flag(
    export_model: Run, tmp_path: Path, flags: list[str], said: str
) -> None:
    finished = export_model("m.keras", *flags)
    assert finished.returncode == 2
    assert said in finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
