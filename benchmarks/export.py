"""Keras' own three exports against `export-model` with its proof, side by side: wall time, CPU time and peak memory.

    python -m benchmarks.export [--models MobileNetV2,EfficientNetB0,ResNet50] [--repeat 2]

Every run is a fresh process (or, for `export-model`, a fresh tree of processes) on the same `.keras` file, the two
sides in turn. Keras' side is what its documentation shows: load the file, `model.export` to SavedModel, ONNX and
LiteRT. It proves nothing. Where one of its exporters fails, the time until then counts and the table says so. Memory is
the largest sum of the proportional set sizes (PSS) of all processes of a side, looked at four times a second in a run
of its own: to look takes a process of gigabytes 20 ms, and stops it, which is not to count as its time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.processes import pss_bytes, tree

MODELS = ("MobileNetV2", "EfficientNetB0", "ResNet50")
IMAGE = (96, 96, 3)
MOST_RATIO = 0.6
_LOOK_S = 0.25
_NO_PROOF = ("inspect", "load", "trace", "convert saved_model", "convert tflite", "convert onnx")
"""Phases that an exporter without a proof has as well."""

_FORMATS = {"tf_saved_model": "saved_model", "onnx": "model.onnx", "litert": "model.tflite"}

_BUILD = """
import sys, keras
for name, path in zip(sys.argv[1::2], sys.argv[2::2]):
    keras.utils.set_random_seed(0)
    getattr(keras.applications, name)(weights=None, input_shape={shape}, classifier_activation=None).save(path)
"""
_KERAS_EXPORTS = """
import json, sys
from pathlib import Path
import keras
model = keras.models.load_model(sys.argv[1], compile=False)
failed = {}
for format_name, file_name in json.loads(sys.argv[3]).items():
    try:
        model.export(Path(sys.argv[2]) / file_name, format=format_name, verbose=False)
    except Exception as error:
        failed[format_name] = type(error).__name__
print(json.dumps(failed))
"""


@dataclass(frozen=True)
class Run:
    """What one side took for one model.

    Attributes:
        wall_s: from start to end.
        cpu_s: user and system time of all its processes.
        peak_mb: the largest sum of proportional set sizes, in 10**6 bytes; 0 where nobody looked.
        failed: Keras' exporters that raised, with the exception.
        proof_s: of the wall time, what the proof and its report take; 0 where there is none.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    failed: dict[str, str]
    proof_s: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sides and print the table; 1 where a ratio is above what the project promises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="of keras.applications (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each side for the time; medians are printed")
    flags = parser.parse_args(arguments)
    names = flags.models.split(",")
    with tempfile.TemporaryDirectory(prefix="kedge-benchmark-") as scratch:
        files = _build(names, Path(scratch))
        print(_row("model", "", "wall s", "CPU s", "peak MB", "remarks"))
        ratios = [_compare(name, files[name], Path(scratch), flags.repeat) for name in names]
    worst_wall, worst_memory = (max(column) for column in zip(*ratios, strict=True))
    print(
        f"\nlargest ratio of wall time {worst_wall:.2f} (wanted {MOST_RATIO}), of memory {worst_memory:.2f} (wanted 1)"
    )
    return int(worst_wall > MOST_RATIO or worst_memory > 1)


def _build(names: list[str], scratch: Path) -> dict[str, Path]:
    files = {name: scratch / f"{name}.keras" for name in names}
    code = _BUILD.format(shape=IMAGE)
    pairs = [part for name, path in files.items() for part in (name, str(path))]
    subprocess.run([sys.executable, "-c", code, *pairs], check=True, env=_environment(), capture_output=True)  # noqa: S603
    return files


def _compare(name: str, file: Path, scratch: Path, repeat: int) -> tuple[float, float]:
    """Run both sides in turn, print three lines, and return the ratios of wall time and of memory."""
    pairs = [_both(file, scratch / f"{name}-{number}", is_watched=not number) for number in range(repeat + 1)]
    keras, kedge = (_summary(list(runs)) for runs in zip(*pairs, strict=True))
    failures = ", ".join(f"{format_name} failed: {error}" for format_name, error in keras.failed.items())
    print(_row(name, "Keras", f"{keras.wall_s:.1f}", f"{keras.cpu_s:.1f}", f"{keras.peak_mb:.0f}", failures))
    proof = f"proven; the proof and its report take {kedge.proof_s:.1f} s, {kedge.proof_s / kedge.wall_s:.0%}"
    print(_row("", "Kedge", f"{kedge.wall_s:.1f}", f"{kedge.cpu_s:.1f}", f"{kedge.peak_mb:.0f}", proof))
    ratios = (kedge.wall_s / keras.wall_s, kedge.cpu_s / keras.cpu_s, kedge.peak_mb / keras.peak_mb)
    print(_row("", "ratio", *(f"{ratio:.2f}" for ratio in ratios), ""), flush=True)
    return ratios[0], ratios[2]


def _both(file: Path, out: Path, *, is_watched: bool) -> tuple[Run, Run]:
    """Keras' exports of a file, then `export-model`'s."""
    (out / "keras").mkdir(parents=True)
    theirs = [sys.executable, "-c", _KERAS_EXPORTS, str(file), str(out / "keras"), json.dumps(_FORMATS)]
    command = str(Path(sys.executable).with_name("export-model"))
    ours = [command, str(file), "--output", str(out / "kedge"), "--json"]
    return _measured(theirs, is_watched=is_watched), _measured(ours, is_watched=is_watched)


def _measured(command: list[str], *, is_watched: bool) -> Run:
    """Run a command to its end, looking at the memory of its process tree where `is_watched`.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        before, start = os.times(), time.monotonic()
        process = subprocess.Popen(command, env=_environment(), stdout=output, stderr=errors)  # noqa: S603
        peak = 0
        while is_watched and process.poll() is None:
            peak = max(peak, sum(map(pss_bytes, tree(process.pid))))
            time.sleep(_LOOK_S)
        process.wait()
        wall, after = time.monotonic() - start, os.times()
        output.seek(0)
        errors.seek(0)
        printed = output.read()
        if process.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {errors.read()[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    told = json.loads(printed)
    if "seconds" not in told:
        return Run(wall, cpu, peak / 1e6, told)
    without = sum(told["seconds"].get(phase, 0.0) for phase in _NO_PROOF)
    return Run(wall, cpu, peak / 1e6, {}, max(wall - without, 0.0))


def _summary(runs: list[Run]) -> Run:
    """The memory of the first run, which was watched, and the medians of the others."""
    watched, *timed = runs
    return Run(
        median(run.wall_s for run in timed),
        median(run.cpu_s for run in timed),
        watched.peak_mb,
        watched.failed,
        median(run.proof_s for run in timed),
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "1"}


def _row(*cells: str) -> str:
    widths = (16, 7, 8, 8, 8)
    return "  ".join(
        [
            cells[0].ljust(widths[0]),
            cells[1].ljust(widths[1]),
            *(cell.rjust(width) for cell, width in zip(cells[2:5], widths[2:], strict=True)),
            cells[5],
        ]
    ).rstrip()


if __name__ == "__main__":
    sys.exit(main())
