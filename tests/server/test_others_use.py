"""What other processes take of the cores."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kedge_server.others_use import DISTURBING, OthersUse

BURN = "import time\nwhile True: time.time()"


def test_a_process_that_takes_a_core_is_seen_and_our_own_work_is_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    others = OthersUse()
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end:  # our own
        pass
    alone = others.share()
    with subprocess.Popen([sys.executable, "-c", BURN]) as burning:
        others = OthersUse()
        time.sleep(0.5)
        beside = others.share()
        burning.kill()
    assert beside > DISTURBING
    assert beside > alone + 0.2


def test_nothing_is_known_of_a_moment_nor_where_the_system_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    assert OthersUse().share() == 0
    for content in ("", "cpu0 none\n", "cpu0 1 2\n"):
        (tmp_path / "stat").write_text(content)
        monkeypatch.setattr("kedge_server.others_use._STAT", tmp_path / "stat")
        others = OthersUse()
        time.sleep(0.15)
        assert others.share() == 0
    monkeypatch.setattr("kedge_server.others_use._STAT", tmp_path / "nothing")
    assert OthersUse().share() == 0
