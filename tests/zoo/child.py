"""A process of the zoo that answers in lines, is watched while it does, and ends with everything that it started."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from kedge_exporter.processes import export_environment

ROOT = Path(__file__).parents[2]
_MOST_SECONDS = 600
"""Between two lines. The largest network takes a minute and a half on two busy cores."""


class Child:
    """`python -m module arguments`, with TensorFlow as the exporter sets it up."""

    def __init__(self, module: str, arguments: list[str], directory: Path) -> None:
        self._log = directory / f"{module}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=export_environment(directory),
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )

    def lines(self) -> Iterator[str]:
        """Its JSON lines; a child that is silent for too long is killed."""
        stdout = self._process.stdout
        if stdout is None:
            raise ValueError("the child was started without a pipe")
        while True:
            watch = threading.Timer(_MOST_SECONDS, self._kill)
            watch.start()
            line = stdout.readline()
            watch.cancel()
            if not line:
                return
            if line.startswith("{"):
                yield line

    @property
    def code(self) -> int:
        """The code that it ended with."""
        return self._process.wait()

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._log.read_text("utf-8", errors="replace")[-400:].strip()

    def _kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it and all of its children have ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None and sys.exc_info()[0] is not None:
            self._kill()
        with self._process:
            pass
        self._kill()  # what it started and left behind
