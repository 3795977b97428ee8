"""Counts what a server keeps of its requests, and waits until it keeps nothing."""

import itertools
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.services.server_process import ServerProcess

SETTLED_S = 30.0
_LOOK_S = 0.1

_COUNTING_SERVER = Path(__file__).with_name("counting_server.py")


def counting_command(directory: Path) -> Path:
    """Write the command that `running_server` shall start instead of `serve-model`."""
    command = directory / "serve-model"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {_COUNTING_SERVER} "$@"\n')
    command.chmod(0o755)
    return command


class LiveObjects:
    """The objects of requests' ways in a server that was started with `counting_command`.

    Args:
        server: has one instance of one model, and watches no repository: what it does beside requests is none of ours.
        ask: answers a small request.
    """

    def __init__(self, server: ServerProcess, ask: Callable[[], object]) -> None:
        self._server = server
        self._ask = ask
        self._looks = itertools.count(1)
        server.event("ready")  # what was there before is out of the collector's sight then
        ask()
        self._at_rest = self._settled()

    def _settled(self) -> dict[str, int]:
        """What is alive once it stays the same: a request is counted after the turn of the event loop that ended it."""
        before = self.now()
        while True:
            time.sleep(_LOOK_S)
            if (alive := self.now()) == before:
                return alive
            before = alive

    def now(self) -> dict[str, int]:
        """Kind -> how many are alive."""
        self._server.send(signal.SIGUSR1)
        alive: dict[str, int] = self._server.event(f"live_objects_{next(self._looks)}")["alive"]
        return alive

    def assert_back_at_rest(self) -> None:
        """Wait until they are what they were after the first small request: whatever came between has left nothing."""
        self._ask()
        end = time.monotonic() + SETTLED_S
        while (alive := self.now()) != self._at_rest:
            assert time.monotonic() < end, f"{alive} are alive, {self._at_rest} at rest"
            time.sleep(_LOOK_S)
