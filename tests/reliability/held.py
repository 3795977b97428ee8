"""A server whose only instance waits as long as a test wants: no test has to guess how long a run takes.

The instance collects a batch of eight rows for ten seconds. Requests of another width stand in the queue behind it.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np

from tests.reliability.raw_call import INFER
from tests.reliability.requests import infer_request
from tests.services.server_process import ServerProcess, running_server

BATCH_ROWS = 8
_HELD_WIDTH, _WAITING_WIDTH = 1, 2


@contextlib.contextmanager
def held_server(models: Path, *flags: str, command: Path | None = None) -> Iterator["Held"]:
    """Serve `any` with one instance; `flags` and `command` are those of `running_server`."""
    held = ("--instances", "1", "--batch-window-ms", "10000", "--max-batch-rows", str(BATCH_ROWS))
    with (
        running_server(models / "any", *held, *flags, command=command) as server,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        yield Held(server, channel)


class Held:
    """The server, and calls of its model."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel) -> None:
        self.server = server
        self._infer = channel.unary_unary(INFER)
        self._collected = 0

    def call(self, rows: int, timeout_s: float | None = None) -> grpc.Future:
        """Begin a call that stands in the queue while the instance is held."""
        return self._begin(rows, _WAITING_WIDTH, timeout_s)

    def hold(self) -> grpc.Future:
        """Let the instance begin a batch; the call that it begins with."""
        self._collected = 0
        return self.join()

    def join(self, timeout_s: float | None = None) -> grpc.Future:
        """Begin a call that gets into the batch which the instance collects."""
        self._collected += 1
        call = self._begin(1, _HELD_WIDTH, timeout_s)
        self.server.wait_in_flight(self._collected)
        return call

    def release(self) -> None:
        """Fill the batch up, and wait until it has run."""
        self._begin(BATCH_ROWS - self._collected, _HELD_WIDTH).result()

    def ask(self) -> None:
        """Call with a batch's rows, which need not wait for more, and get the answer."""
        self._begin(BATCH_ROWS, _HELD_WIDTH).result()

    def _begin(self, rows: int, width: int, timeout_s: float | None = None) -> grpc.Future:
        request = infer_request("any", np.zeros((rows, width)))
        return self._infer.future(request, timeout=timeout_s)  # type: ignore[no-any-return]
