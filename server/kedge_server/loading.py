"""From a place to a model that is fit to serve: open, choose, load, self-test, warm.

Runs in threads, off the event loop; nothing here is seen by callers until it has succeeded.
"""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kedge_bundle.errors import BundleError, BundleTampered, DeviceUnavailable, RunnerError
from kedge_bundle.manifest import Artifact, ArtifactName, FormatName
from kedge_bundle.parity import ParityReport
from kedge_bundle.replay import replay
from kedge_bundle.runtimes import is_installed, open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors, row_count
from kedge_bundle.store import Bundle, open_bundle
from kedge_server.batches import is_joinable
from kedge_server.session import Options, open_session

FORMAT_PREFERENCE: tuple[FormatName, ...] = ("onnx", "tflite", "saved_model")
"""What `auto` tries, best first: fastest and smallest on the edge."""

QUICK_S = 200e-6
"""Handing a job to a thread and its result back costs about 100 microseconds of processor time (measured)."""

_TIMED_RUNS = 5
_WORTH_TIMING_S = 20e-3


class LoadFailed(Exception):
    """A bundle that cannot be served; the message says why."""


class DeviceNotInUse(LoadFailed):
    """The device that was asked for is not the one in use: no bundle of this server would do better."""


@dataclass(frozen=True)
class Place:
    """Where a version of a model was found, before anything was opened."""

    name: str
    version: int
    directory: Path


@dataclass(frozen=True)
class Prepared:
    """A bundle with its runtimes, one per instance, self-tested and warmed.

    Attributes:
        seconds: what all of this took.
        batch_seconds: what a run of the largest batch takes once it is warm; infinite where it was not tried.
        proof, unproven, no_gpu_because: as in `Session`.
    """

    bundle: Bundle
    artifact: Artifact
    device: str
    runtimes: tuple[Runtime, ...]
    report: ParityReport
    seconds: float
    batch_seconds: float
    proof: str
    unproven: str = ""
    no_gpu_because: str = ""

    @property
    def is_quick(self) -> bool:
        """Whether every run is so short that handing it to a thread would cost more than the run."""
        signature = self.bundle.manifest.signature
        has_known_size = all(None not in spec.shape[1:] for spec in (*signature.inputs, *signature.outputs))
        return (
            self.batch_seconds <= QUICK_S
            and has_known_size
            and self.device == "cpu"
            and all(runtime.is_thread_safe for runtime in self.runtimes)
        )


def usable_cores() -> int:
    """The cores that this process may use: its affinity, and the quota of its control group (version 2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
    except (OSError, ValueError):  # no such control group: the affinity is all there is
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def prepare(place: Place, options: Options) -> Prepared:
    """Open a bundle, load its runtimes, replay its golden answers in each, and warm them.

    Raises:
        DeviceNotInUse: the GPU was asked for and is not in use.
        LoadFailed: the bundle is damaged, in the wrong place, unloadable, not proven with these options, or does not
            answer as it was proven to.
    """
    started = time.perf_counter()
    try:
        bundle = open_bundle(place.directory)
        _check_place(bundle, place)
        artifact = _choose(bundle, options.format)
        session = open_session(bundle, artifact, options)
        runtimes = _instances(bundle, artifact, session.runtime, options)
        report = _self_test(bundle, runtimes)
        batch_seconds = max(_warm(bundle, one, options.max_batch_rows) for one in dict.fromkeys(runtimes))
    except DeviceUnavailable as error:
        raise DeviceNotInUse(str(error)) from error
    except (BundleError, RunnerError) as error:
        raise LoadFailed(str(error)) from error
    seconds = time.perf_counter() - started
    return Prepared(
        bundle,
        artifact,
        session.runtime.device,
        runtimes,
        report,
        seconds,
        batch_seconds,
        proof=session.proof,
        unproven=session.unproven,
        no_gpu_because=session.no_gpu_because,
    )


def _check_place(bundle: Bundle, place: Place) -> None:
    manifest = bundle.manifest
    if (manifest.name, manifest.version) != (place.name, place.version):
        raise BundleTampered(
            f"{place.directory}: the manifest says '{manifest.name}' version {manifest.version}; a bundle is served "
            f"under its own name: move it to {manifest.name}/{manifest.version}"
        )


def _choose(bundle: Bundle, wanted: Literal["auto", ArtifactName]) -> Artifact:
    found = {artifact.name: artifact for artifact in bundle.manifest.artifacts}
    there = ", ".join(found)
    if wanted != "auto":
        artifact = bundle.manifest.artifact(wanted)
        if artifact is None:
            raise LoadFailed(f"{bundle.directory}: no {wanted} in this bundle; it has {there}")
        return artifact
    for name in FORMAT_PREFERENCE:
        if name in found and is_installed(name):
            return found[name]
    raise LoadFailed(
        f"{bundle.directory}: it has {there}, and none of their runtimes is installed here; "
        "pip install kedge[onnx], kedge[tflite] or kedge[tensorflow]"
    )


def _instances(bundle: Bundle, artifact: Artifact, first: Runtime, options: Options) -> tuple[Runtime, ...]:
    """One runtime per instance; the same one where it may be shared."""
    count = options.instances or (usable_cores() if first.device == "cpu" else 1)
    if first.is_thread_safe:
        return (first,) * count
    return (first, *(open_runtime(bundle, artifact, first.options) for _ in range(count - 1)))


def _self_test(bundle: Bundle, runtimes: tuple[Runtime, ...]) -> ParityReport:
    """Replay the golden answers in every runtime that will serve, with the very options that will serve."""
    reports = [replay(runtime, *bundle.golden_of(runtime.artifact)) for runtime in dict.fromkeys(runtimes)]
    for report in reports:
        if not report.is_proven:
            was = "Keras did" if runtimes[0].artifact.quantized is None else "it did when it was judged"
            raise LoadFailed(
                f"{bundle.directory}: the self-test failed, {report.format} does not answer as {was}: "
                f"{report.first_failure()}"
            )
    return reports[0]


def _warm(bundle: Bundle, runtime: Runtime, max_batch_rows: int) -> float:
    """Run the smallest and the largest batch: the first run of a size may allocate and choose kernels.

    Returns:
        Seconds of the largest batch once it is warm, the best of a few runs; infinite where only golden inputs fit.
    """
    if not is_joinable(bundle.manifest.signature):
        return math.inf  # the golden inputs have the only number of rows there is, and they have just run
    golden = bundle.golden[0].inputs
    step = 1 if runtime.artifact.batch == "dynamic" else runtime.artifact.batch
    runtime.run(_repeated(golden, step))
    largest = _repeated(golden, max(step, max_batch_rows // step * step))
    times = [_seconds(runtime, largest)]
    while len(times) < _TIMED_RUNS and times[-1] < _WORTH_TIMING_S:
        times.append(_seconds(runtime, largest))
    return min(times)


def _seconds(runtime: Runtime, inputs: Tensors) -> float:
    started = time.perf_counter()
    runtime.run(inputs)
    return time.perf_counter() - started


def _repeated(inputs: Tensors, rows: int) -> Tensors:
    """The first `rows` rows of inputs repeated as often as needed."""
    chosen = np.arange(rows) % row_count(inputs)
    return {name: array[chosen] for name, array in inputs.items()}
