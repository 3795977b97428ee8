"""What `gpu_check.py` times: bare onnxruntime, Kedge's runtime, a `serve-model` of its own. It prints nothing."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kedge_bundle.manifest import Artifact
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.signature import Tensors, row_count
from kedge_bundle.store import Bundle
from kedge_bundle.wanted import WantedOptions

SERVE_MODEL = Path(sys.executable).with_name("serve-model")
START_S = 120.0
_ROUNDS = 3

Device = Literal["cpu", "gpu"]
Sides = dict[str, Callable[[], object]]


def sides_of(bundle: Bundle, artifact: Artifact, wanted: WantedOptions, inputs: Tensors) -> Sides:
    """The same run, through onnxruntime's own session and through Kedge's runtime."""
    import onnxruntime  # only where there is one

    providers: list[Any] = ["CPUExecutionProvider"]
    if wanted.device == "gpu":
        providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": str(int(bool(wanted.tf32)))}))
    if wanted.tensorrt:
        providers.insert(0, "TensorrtExecutionProvider")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = artifact.options.threads
    runtime = open_runtime(bundle, artifact, wanted.of(artifact))
    session = onnxruntime.InferenceSession(bundle.directory / artifact.path, options, providers=providers)
    outputs = list(artifact.outputs.values())
    feeds = {artifact.inputs[name]: array for name, array in inputs.items()}
    return {"bare onnxruntime": lambda: session.run(outputs, feeds), "Kedge's runtime": lambda: runtime.run(inputs)}


def in_turn(sides: Sides, seconds: float) -> dict[str, list[float]]:
    """Seconds of each run of each side, in rounds, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for counted in (False, *[True] * _ROUNDS):
        for name, run in sides.items():
            seen = timed(run, seconds / _ROUNDS)
            times[name] += seen if counted else []
    return times


def timed(run: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each run, for so long; at least one."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return times


def rows_of(bundle: Bundle, rows: int) -> Tensors:
    """So many rows of the first golden case, repeated as often as needed; 0: as they are."""
    golden = bundle.golden[0].inputs
    if not rows:
        return golden
    chosen = np.arange(rows) % row_count(golden)
    return {name: array[chosen] for name, array in golden.items()}


class ServerEnded(RuntimeError):
    """A `serve-model` that ended before it said what was waited for."""


@dataclass
class Server:
    """A `serve-model` whose log is read as it is asked for."""

    process: subprocess.Popen[str]

    def event(self, *names: str) -> dict[str, Any]:
        """The next event with one of these names.

        Raises:
            ServerEnded: with its log; a server that says nothing of the kind for two minutes is ended.
        """
        lines: list[str] = []
        too_late = threading.Timer(START_S, self.process.kill)
        too_late.start()
        try:
            for line in self.process.stderr or ():
                lines.append(line.rstrip())
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and event.get("event") in names:
                        return event
        finally:
            too_late.cancel()
        raise ServerEnded("\n".join(["serve-model ended:", *lines[-10:]]))


@contextlib.contextmanager
def server_of(bundle: Bundle, *flags: str, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """Start a `serve-model` on ports that the system chooses, and end it whatever happens."""
    addresses = ("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--log-format", "json")
    process = subprocess.Popen(  # noqa: S603 (our own command)
        [SERVE_MODEL, bundle.directory, *addresses, *flags],
        env=environment or own_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.terminate()
        process.communicate(timeout=START_S)


def own_environment() -> dict[str, str]:
    """This process's environment without settings of Kedge's that somebody has exported."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KEDGE_")}
