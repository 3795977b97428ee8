"""Processes that prove one model after another: importing TensorFlow again for each would be most of the zoo's time.

Each still has seen neither Keras nor a converter.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from kedge_bundle.manifest import FormatName
from kedge_exporter.proof_processes import ask, start, tell

if TYPE_CHECKING:
    import subprocess


class KeptProcesses:
    """One process per format, for every proof; a new one where it ended. For `export(..., processes=...)`."""

    def __init__(self) -> None:
        self._running: dict[FormatName, subprocess.Popen[str]] = {}

    def expect(self, formats: tuple[FormatName, ...]) -> None:
        """Start what is not running yet."""
        for name in formats:
            if name not in self._running:
                self._running[name] = start(name)

    def rehearse(self, format_name: FormatName, job_file: Path) -> None:
        """Let a process run a job that is judged later."""
        self.expect((format_name,))
        tell(self._running[format_name], job_file)

    def prove(self, format_name: FormatName, job_file: Path) -> int | None:
        """Prove one job; the code with which the process ended where it did."""
        self.expect((format_name,))
        process = self._running[format_name]
        if ask(process, job_file):
            return None
        del self._running[format_name]
        with process:
            pass
        return process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            with process:  # closes its input, at whose end it ends
                pass
