import os
import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from kedge_server.precedence import go_behind

Turn = tuple[int, int]


def turn() -> Turn:
    """The policy and the niceness of this thread."""
    thread = threading.get_native_id()
    return os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread)


def in_a_thread(work: Callable[[], Turn]) -> Turn:
    found: list[Turn] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_goes_behind_with_those_that_it_begins_and_nobody_else():
    policy, nice = turn()

    def work() -> Turn:
        go_behind(5)
        assert turn() == (policy, nice + 5)
        return in_a_thread(turn)

    assert in_a_thread(work) == (policy, nice + 5)
    assert turn() == (policy, nice)


def test_a_thread_that_stands_last_stays_there():
    def work() -> Turn:
        go_behind(15)
        go_behind(15)
        return turn()

    assert in_a_thread(work)[1] == 19


def test_where_it_is_refused_everything_goes_on(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr("kedge_server.precedence.os.setpriority", refuse)
    before = turn()
    with capture_logs() as log:
        go_behind(5)
        assert turn() == before
    assert [entry["because"] for entry in log] == ["not here"]


def test_elsewhere_than_on_linux_nothing_is_tried(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge_server.precedence.sys.platform", "darwin")
    before = turn()
    go_behind(5)
    assert turn() == before
