import os
import threading

import pytest
from structlog.testing import capture_logs

from kedge_server.cores import go_behind


def nice_of_a_thread() -> tuple[int, int]:
    """That of a thread which goes behind, and that of a thread which it starts."""
    found: list[int] = []

    def work(depth: int) -> None:
        if depth == 0:
            go_behind()
            inner = threading.Thread(target=work, args=(1,))
            inner.start()
            inner.join()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    outer = threading.Thread(target=work, args=(0,))
    outer.start()
    outer.join()
    return found[1], found[0]


def test_a_thread_goes_behind_with_those_that_it_starts_and_nobody_else():
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    own, started = nice_of_a_thread()
    assert own == started > before
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_where_that_is_refused_everything_goes_on(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: int) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr("kedge_server.cores.os.setpriority", refuse)
    with capture_logs() as log:
        nice_of_a_thread()
    assert log[0]["because"] == "not here"
