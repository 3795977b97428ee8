"""What other processes take of the cores: of a real one, and of a system that tells what a test says."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kedge_server.others_use import DISTURBING, OthersUse

BURN = "import os\nos.sched_setaffinity(0, {%d})\nwhile True: pass"
TICKS_S = 100  # Linux counts in hundredths of a second, whatever its kernel does


class System:
    """A /proc/stat, two cores to run on, and a clock: what passes, and what of it whom had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, usable: int = 2) -> None:
        self._path = directory / "stat"
        self.passed_s = self.own_s = 0.0
        self.write(0, 0)
        monkeypatch.setattr("kedge_server.others_use._STAT", self._path)
        monkeypatch.setattr("kedge_server.others_use.usable_cores", lambda: usable)
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3})
        monkeypatch.setattr("time.perf_counter", lambda: self.passed_s)
        monkeypatch.setattr("time.process_time", lambda: self.own_s)

    def write(self, first_s: float, fourth_s: float) -> None:
        """So much time all processes have had of the cores 0 and 3; the others have been busy all the time."""
        lines = ["cpu 9 9 9 9 9 9 9 9", "intr 5"]
        for core, used_s in ((0, first_s), (1, 1e4), (3, fourth_s), (30, 1e4)):
            # user, nice, system, then idle and iowait, which nobody had, irq, softirq and steal
            lines.append(f"cpu{core} {round(used_s * TICKS_S) - 6} 1 1 700 800 2 1 1 50 50")
        self._path.write_text("\n".join(lines) + "\n")


def test_what_others_had_is_what_we_had_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    system = System(monkeypatch, tmp_path)
    others = OthersUse()
    system.write(0.9, 0.5)
    system.passed_s, system.own_s = 1.0, 0.8
    assert others.share() == pytest.approx(0.3)
    system.own_s = 1.4
    assert others.share() == pytest.approx(0)
    system.own_s = 1.5  # clocks differ
    assert others.share() == 0


def test_others_may_have_what_a_quota_withholds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    system = System(monkeypatch, tmp_path, usable=1)
    others = OthersUse()
    system.write(1.0, 0.9)
    system.passed_s, system.own_s = 1.0, 1.0
    assert others.share() == 0
    system.own_s = 0.6
    assert others.share() == pytest.approx(0.3)


def test_of_a_moment_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    system = System(monkeypatch, tmp_path)
    others = OthersUse()
    system.write(1.0, 1.0)
    system.passed_s = 0.05
    assert others.share() == 0


@pytest.mark.parametrize("content", [None, "", "cpu0 none\n", "cpu0 1 2\n"])
def test_where_the_system_tells_nothing_nothing_is_known(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    if content is not None:
        (tmp_path / "stat").write_text(content)
    monkeypatch.setattr("kedge_server.others_use._STAT", tmp_path / "stat")
    others = OthersUse()
    time.sleep(0.15)
    assert others.share() == 0


def test_a_real_process_that_takes_a_core_is_seen(monkeypatch: pytest.MonkeyPatch):
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {core})
    monkeypatch.setattr("kedge_server.others_use.usable_cores", lambda: 1)
    with subprocess.Popen([sys.executable, "-c", BURN % core]) as burning:
        end = time.monotonic() + 30
        share = 0.0
        while share <= DISTURBING:  # it begins after a while
            assert time.monotonic() < end
            others = OthersUse()
            time.sleep(0.3)
            share = others.share()
        burning.kill()
