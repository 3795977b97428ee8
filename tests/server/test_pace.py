import pytest

from kedge_server.pace import Pace


def test_instances_share_what_waits():
    pace = Pace(instances=4)
    pace.note(rows=2, seconds=0.2)
    assert pace.seconds(rows=8) == pytest.approx(0.2)


def test_the_latest_runs_count_most():
    pace = Pace(instances=1)
    for seconds in (1.0, 2.0):
        pace.note(1, seconds)
    assert pace.seconds(1) == pytest.approx(1.1)
    for _ in range(100):
        pace.note(1, 2.0)
    assert pace.seconds(1) == pytest.approx(2.0, rel=1e-3)


def test_ten_runs_make_it_known():
    pace = Pace(instances=1)
    assert pace.seconds(100) == 0
    for _ in range(9):
        pace.note(1, 1.0)
    assert not pace.is_known
    pace.note(1, 1.0)
    assert pace.is_known
