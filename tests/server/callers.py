"""Callers that keep a server busy from threads of their own, and account for everything that became of their calls."""

import threading
from collections import Counter
from types import TracebackType
from typing import Self

import numpy as np

from kedge_bundle.signature import Tensors
from kedge_server.client import Client, ClientError, Protocol

DEADLINE_S = 60.0


class Callers:
    """Ask the same model over and over until the server is gone.

    Attributes:
        answers: how many calls were answered rightly.
        wrong: answers that are not those of their caller.
        errors: code -> how many calls ended with it.
        lost: calls that neither came back rightly nor were refused as not taken.
    """

    def __init__(
        self,
        address: str,
        model: str,
        threads: int,
        inputs: Tensors | None = None,
        protocol: Protocol = "open-inference",
    ) -> None:
        self.answers = 0
        self.wrong: list[str] = []
        self.errors: Counter[str] = Counter()
        self.lost: list[str] = []
        self._inputs = inputs
        self._protocol = protocol
        self._changed = threading.Condition()
        self._is_stopped = False
        self._threads = [
            threading.Thread(target=self._call, args=(address, model, i), daemon=True) for i in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def finish(self) -> None:
        """Let every caller end after the call that it is in."""
        self._is_stopped = True

    def stop(self) -> None:
        """Let every caller end after its call, and wait for it."""
        self.finish()
        self.join()

    def join(self) -> None:
        """Wait until every caller has given up."""
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "a call never came back"

    def wait_for(self, answers: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.answers >= answers, DEADLINE_S), f"{self.answers} answers"

    def _call(self, address: str, model: str, number: int) -> None:
        rng = np.random.default_rng(number)
        with Client(address, self._protocol) as client:
            while not self._is_stopped:
                inputs = self._inputs or {"x": rng.normal(size=(1 + number % 3, 4)).astype(np.float32)}
                try:
                    answer = client.predict(model, inputs, timeout_s=DEADLINE_S)
                except ClientError as error:
                    with self._changed:
                        self.errors[error.code] += 1
                        if error.code != "UNAVAILABLE":
                            self.lost.append(str(error))
                    return
                is_right = self._inputs is not None or np.array_equal(answer["y"], inputs["x"])
                with self._changed:
                    self.answers += is_right
                    if not is_right:
                        self.wrong.append(f"caller {number}: {inputs} -> {answer}")
                    self._changed.notify_all()
