#!/usr/bin/env python3
"""What Kedge does on an NVIDIA GPU: parity, speed against bare onnxruntime, and what happens where the GPU is hidden.

    python scripts/gpu_check.py BUNDLE... [--write docs/benchmarks.md]

Runs on any machine with an NVIDIA GPU, its driver and `kedge[server,onnx-gpu]`; nothing else is needed, the bundles may
have been exported elsewhere. It prints Markdown. Exit code 0: all is as it must be; 1: something is not, and is named;
2: no GPU can be used here, or the command was wrong; 3: a bundle is unreadable.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from gpu_page import BEGIN, END, Table, write_page
from gpu_sides import START_S, Device, ServerEnded, in_turn, own_environment, rows_of, server_of, sides_of, timed

from kedge_bundle import __version__
from kedge_bundle.cpu import cpu_name
from kedge_bundle.errors import BundleError, RunnerError
from kedge_bundle.machine import first_gpu
from kedge_bundle.manifest import Artifact
from kedge_bundle.runtimes import is_installed, open_runtime
from kedge_bundle.signature import row_count
from kedge_bundle.store import Bundle, open_bundle
from kedge_bundle.toolchain import runtime_packages
from kedge_bundle.verification import verify_artifact
from kedge_bundle.wanted import WantedOptions
from kedge_server.batches import is_joinable
from kedge_server.client import Client

OK, NOT_AS_IT_MUST_BE, NO_GPU, BUNDLE_REFUSED = 0, 1, 2, 3
VERIFY_MODEL = Path(sys.executable).with_name("verify-model")

_BATCHES = (1, 8, 32)
_CALLERS = 8
_ON_GPU = ("onnx", "saved_model")
"""The formats whose runtimes Kedge runs on a GPU."""


Check = Callable[[], Table]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every check and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="the directory <name>/<version>")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each timed side (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help=f"also put the tables between '{BEGIN}' and '{END}'")
    flags = parser.parse_args(arguments)
    try:
        bundles = [open_bundle(path) for path in flags.bundles]
    except BundleError as error:
        return _refuse(str(error), BUNDLE_REFUSED)
    reason = why_no_gpu(bundles)
    if reason:
        return _refuse(f"no GPU can be used here, so nothing was checked: {reason}", NO_GPU)
    tables = []
    for check in checks(bundles, flags.seconds):
        tables.append(tried(check))
        print(f"{tables[-1].markdown()}\n", flush=True)  # what is known now, whatever becomes of the rest
    if flags.write is not None:
        write_page(flags.write, "\n\n".join(table.markdown() for table in tables))
    return NOT_AS_IT_MUST_BE if any(table.problems for table in tables) else OK


def checks(bundles: Sequence[Bundle], seconds: float) -> list[Check]:
    """Every check, in order."""
    of_onnx = [(bundle, artifact) for bundle in bundles if (artifact := _onnx(bundle)) is not None]
    return [
        environment,
        partial(parity, bundles),
        *(partial(speed, bundle, artifact, "gpu", seconds) for bundle, artifact in of_onnx),
        *(partial(served, bundle, "gpu", seconds) for bundle, _ in of_onnx),
        *(partial(hidden, bundle) for bundle, _ in of_onnx[:1]),
    ]


def tried(check: Check) -> Table:
    """What a check found; where it broke off, a table that says so."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 (other checks are worth having, and this one is named)
        text = f"{type(error).__name__}: {error}"
        which = getattr(check, "func", check).__name__
        return Table(f"{which}: broke off", ("check",), [(which,)], [f"{which} broke off: {text}"])


def why_no_gpu(bundles: Sequence[Bundle]) -> str:
    """Why no runtime that is installed here gets a GPU; empty where one does, with any of the bundles."""
    if first_gpu() is None:
        return "there is no libcuda.so.1, or it names no device"
    held = ", ".join(str(bundle.directory) for bundle in bundles)
    reasons = [f"neither kedge[onnx-gpu] nor kedge[tensorflow-gpu] is installed for what {held} holds"]
    for bundle, artifact in ((one, artifact) for one in bundles for artifact in _artifacts(one)):
        try:
            open_runtime(bundle, artifact, WantedOptions(device="gpu").of(artifact)).close()
        except RunnerError as error:
            reasons.append(str(error))
        else:
            return ""
    return reasons[-1]


def environment() -> Table:
    """The machine and what is installed on it."""
    gpu = first_gpu()
    packages = runtime_packages("onnx", "gpu") | runtime_packages("saved_model", "gpu")
    shown = re.compile("onnxruntime|tensorflow|cudnn|cublas")
    named = {name: version for name, version in packages.items() if shown.search(name)}
    rows = [
        ("date", datetime.now(UTC).date().isoformat()),
        ("GPU", f"{gpu.name}, compute capability {gpu.compute_capability}, CUDA {gpu.cuda}" if gpu else "none"),
        ("processor", f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores"),
        ("kedge", __version__),
        *named.items(),
    ]
    return Table("Machine", ("what", "which"), rows)


def ways(device: Device, artifact: Artifact) -> dict[str, WantedOptions]:
    """What may be asked of an artifact on a device, by what is more than plain float32."""
    if device == "cpu":
        return {"": WantedOptions(device=device)}
    found = {"": WantedOptions(device=device, tf32=False), "TF32": WantedOptions(device=device, tf32=True)}
    if artifact.format == "onnx" and _has_tensorrt():
        found["TF32, TensorRT"] = WantedOptions(device=device, tf32=True, tensorrt=True)
    return found


def parity(bundles: Sequence[Bundle]) -> Table:
    """Replay the golden answers on the GPU in plain float32, which must be proven, and with less, for comparison."""
    table = Table("Parity", ("model", "artifact", "with", "device", "verdict", "largest error", "why"))
    for bundle in bundles:
        for artifact in _artifacts(bundle):
            for word, wanted in ways("gpu", artifact).items():
                what = (_name(bundle), artifact.name, word or "float32")
                with table.naming(" ".join(what)):
                    outcome = verify_artifact(bundle, artifact, wanted.of(artifact), was_asked_for=True)
                    report = outcome.report
                    device, error = (report.device, f"{report.max_abs_error:.2e}") if report else ("-", "-")
                    table.rows.append((*what, device, outcome.verdict, error, outcome.explanation))
                    if not word and (report is None or not report.is_proven):
                        table.problems.append(f"{_name(bundle)}: {artifact.name} is not proven: {outcome.explanation}")
    return table


def speed(bundle: Bundle, artifact: Artifact, device: Device, seconds: float) -> Table:
    """Time runs through Kedge's runtime beside bare onnxruntime's, in turn, on one thread of callers."""
    table = Table(f"Speed of {_name(bundle)}, in process", ("rows", "side", "p50 ms", "p99 ms", "rows/s", "÷ bare"))
    for rows in _BATCHES if artifact.batch == "dynamic" and is_joinable(bundle.manifest.signature) else (0,):
        inputs = rows_of(bundle, rows)
        for word, wanted in ways(device, artifact).items():
            try:
                times = in_turn(sides_of(bundle, artifact, wanted, inputs), seconds)
            except Exception as error:  # noqa: BLE001 (bare onnxruntime raises types of its own)
                table.rows.append((str(row_count(inputs)), f"Kedge's runtime, {word or 'float32'}", *["-"] * 4))
                # Of more than float32 nothing is promised; parity says what became of it.
                if not word or not isinstance(error, RunnerError):
                    table.problems.append(f"{_name(bundle)}: {artifact.name} cannot be timed: {error}")
                continue
            bare = _rows_per_s(row_count(inputs), times["bare onnxruntime"])
            for side, seen in times.items():
                rate = _rows_per_s(row_count(inputs), seen)
                name = f"{side}, {word}" if word else side
                table.rows.append(
                    (str(row_count(inputs)), name, *_percentiles(seen), f"{rate:.0f}", f"{rate / bare:.2f}")
                )
    return table


def served(bundle: Bundle, device: Device, seconds: float) -> Table:
    """Time requests of one row through `serve-model`, from callers that each wait for their answer."""
    table = Table(
        f"Speed of {_name(bundle)}, served", ("callers", "rows", "p50 ms", "p99 ms", "requests/s", "device in use")
    )
    flags = ("--format", "onnx", "--device", device, "--unproven-options", "warn")
    with server_of(bundle, *flags) as server:
        try:
            port, loaded = server.event("serving")["grpc_port"], server.event("model_loaded")
        except ServerEnded as error:
            table.problems.append(f"{_name(bundle)} is not served: {error}")
            return table
        inputs = rows_of(bundle, 1 if is_joinable(bundle.manifest.signature) else 0)
        for callers in (1, _CALLERS):
            with (
                table.naming(f"{_name(bundle)}: asking with {callers} at a time"),
                Client(f"127.0.0.1:{port}") as client,
                ThreadPoolExecutor(callers) as threads,
            ):

                def ask() -> object:
                    return client.predict(bundle.manifest.name, inputs, timeout_s=START_S)

                ask()
                began = time.perf_counter()
                each = list(threads.map(lambda _: timed(ask, seconds), range(callers)))
                rate = sum(map(len, each)) / (time.perf_counter() - began)
                seen = [one for times in each for one in times]
                rows = str(row_count(inputs))
                table.rows.append((str(callers), rows, *_percentiles(seen), f"{rate:.0f}", loaded["device"]))
    if (device == "gpu") != str(loaded["device"]).startswith("cuda"):
        table.problems.append(f"{_name(bundle)}: {device} was asked for, and serve-model runs on {loaded['device']}")
    return table


def hidden(bundle: Bundle) -> Table:
    """Ask for a GPU where there is none to see: nothing may run on the CPU unless it says so."""
    table = Table("Where the GPU is hidden (`CUDA_VISIBLE_DEVICES=-1`)", ("command", "must", "did", "what it said"))
    environment = own_environment() | {"CUDA_VISIBLE_DEVICES": "-1"}
    verify = [VERIFY_MODEL, bundle.directory, "--format", "onnx", "--device", "gpu"]
    with table.naming(command := "verify-model --device gpu"):
        done = subprocess.run(verify, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        said = next((line for line in done.stdout.splitlines() if line.startswith("onnx: ")), done.stderr.strip())
        _must(table, command, "end with 4", f"end with {done.returncode}", said)
    server = partial(server_of, bundle, "--format", "onnx", environment=environment)
    with table.naming(command := "serve-model --device gpu"), server("--device", "gpu") as asked:
        event = asked.event("cannot_serve", "ready")
        code = asked.process.wait(START_S) if event["event"] == "cannot_serve" else None
        _must(table, command, "end with 4", f"end with {code}", str(event.get("error", "")))
    with table.naming(command := "serve-model --device auto"), server("--device", "auto") as asked:
        event = asked.event("model_loaded", "cannot_serve")
        reason = str(event.get("no_gpu_because", ""))
        did = f"serve on the {event.get('device')}" + (" and say why" if reason else "")
        _must(table, command, "serve on the cpu and say why", did, reason)
    return table


def _must(table: Table, command: str, must: str, did: str, said: str) -> None:
    table.rows.append((command, must, did, said))
    if must != did:
        table.problems.append(f"{command} must {must}, and did {did}: {said}")


def _artifacts(bundle: Bundle) -> list[Artifact]:
    """Those that answer as Keras does, in formats that run on a GPU and whose runtime is installed here."""
    found = (one for one in bundle.manifest.artifacts if one.format in _ON_GPU and one.quantized is None)
    return [artifact for artifact in found if is_installed(artifact.format)]


def _onnx(bundle: Bundle) -> Artifact | None:
    """The artifact that is timed; None where there is none, or it takes strings, which bare runs take otherwise."""
    has_strings = any(spec.dtype == "string" for spec in bundle.manifest.signature.inputs)
    return next((one for one in _artifacts(bundle) if one.name == "onnx" and not has_strings), None)


def _has_tensorrt() -> bool:
    """Whether the library is found that onnxruntime's provider needs."""
    try:
        ctypes.CDLL("libnvinfer.so.10")
    except OSError:
        return False
    return True


def _percentiles(times: list[float]) -> tuple[str, str]:
    return tuple(f"{1000 * float(np.percentile(times, share)):.3f}" for share in (50, 99))  # type: ignore[return-value]


def _rows_per_s(rows: int, times: list[float]) -> float:
    return rows * len(times) / sum(times)


def _name(bundle: Bundle) -> str:
    return f"{bundle.manifest.name}/{bundle.manifest.version}"


def _refuse(message: str, code: int) -> int:
    print(f"gpu_check: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
