import os
import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from kedge_server.precedence import go_behind, polite

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


def test_where_nobody_may_ask_how_threads_are_scheduled_they_are_alike(monkeypatch: pytest.MonkeyPatch):
    def refused(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "sched_getscheduler", refused)
    with capture_logs() as log, polite():
        assert in_a_thread(lambda: (0, os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))) == (0, 0)
    assert [event["event"] for event in log] == ["no_precedence"]


def test_a_thread_that_stands_last_stays_there():
    def work() -> Turn:
        go_behind(15)
        go_behind(15)
        return turn()

    assert in_a_thread(work)[1] == 19


def test_a_thread_that_is_begun_politely_stays_so_and_nobody_else():
    before = turn()
    assert before[0] == os.SCHED_OTHER
    begun = threading.Event()
    found: list[Turn] = []

    def work() -> None:
        begun.wait()
        found.append(turn())

    thread = threading.Thread(target=work)
    with polite():
        thread.start()
    begun.set()
    thread.join()
    assert found == [(os.SCHED_BATCH, before[1])]
    assert turn() == before


def test_a_policy_that_somebody_chose_is_kept():
    def work() -> Turn:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with polite():
            return in_a_thread(turn)

    assert in_a_thread(work)[0] == os.SCHED_IDLE


def test_where_it_is_refused_everything_goes_on(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr("kedge_server.precedence.os.setpriority", refuse)
    monkeypatch.setattr("kedge_server.precedence.os.sched_setscheduler", refuse)
    before = turn()
    with capture_logs() as log:
        go_behind(5)
        with polite():
            assert turn() == before
    assert [entry["because"] for entry in log] == ["not here", "not here"]


def test_elsewhere_than_on_linux_nothing_is_tried(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge_server.precedence.sys.platform", "darwin")
    before = turn()
    go_behind(5)
    with polite():
        assert turn() == before
    assert turn() == before
