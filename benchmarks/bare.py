"""onnxruntime in process and nothing around it: what the model itself costs.

Several sessions may run at once, each with threads and batches of its own: which arrangement is best depends on the
model and on the machine, so the benchmark tries some.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime  # noqa: TID253 (it is what is measured)
from numpy.typing import NDArray

from benchmarks.load import Load, quantile

_WARM_UPS = 5


def session(path: Path, threads: int) -> Any:  # noqa: ANN401 (onnxruntime ships no types)
    """A session with the options that Kedge's runtime has: sequential, threads that do not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds(made: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:  # noqa: ANN401 (as above)
    """The arrays, in their order, under the names that the ONNX file has for its inputs."""
    return dict(zip((each.name for each in made.get_inputs()), inputs.values(), strict=True))


def measure(path: Path, rows: NDArray[Any], seconds: float, instances: int, threads: int) -> Load:
    """Run batches of `rows` in `instances` sessions at once, each with `threads`.

    Requests of the result are rows; its latencies are those of whole runs.
    """
    sessions = [session(path, threads) for _ in range(instances)]
    runs_ms: list[list[float]] = [[] for _ in sessions]
    for made in sessions:
        for _ in range(_WARM_UPS):
            made.run(None, feeds(made, {"": rows}))
    end = time.monotonic() + seconds

    def work(made: Any, durations_ms: list[float]) -> None:  # noqa: ANN401 (as above)
        fed = feeds(made, {"": rows})
        while (began := time.monotonic()) < end:
            made.run(None, fed)
            durations_ms.append((time.monotonic() - began) * 1000)

    workers = [threading.Thread(target=work, args=pair) for pair in zip(sessions, runs_ms, strict=True)]
    began, cpu = time.monotonic(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall, spent = time.monotonic() - began, time.process_time() - cpu
    all_ms = sorted(duration for durations in runs_ms for duration in durations)
    answered = len(all_ms) * len(rows)
    return Load(
        requests=answered,
        per_second=answered / wall,
        p50_ms=quantile(all_ms, 0.5),
        p99_ms=quantile(all_ms, 0.99),
        cpu_us=spent / answered * 1e6,
        generator_cores=0.0,
    )
