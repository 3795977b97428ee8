"""Networks of a millisecond and more, where the arrangement of instances and threads is everything."""

import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from math import nan
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks import bare
from benchmarks.load import Call, Load, Pressure, drive
from benchmarks.peers.environments import PeerMissing
from benchmarks.serving_figures import Result
from benchmarks.serving_models import NETWORKS, Model, network
from benchmarks.serving_runs import (
    FIGURE,
    Driver,
    Measured,
    Wanted,
    alternate,
    drivers,
    lanes,
    peer_call,
    rate_ratio,
)
from benchmarks.serving_sides import LEAST, LEAST_CHECKED, infer_call, kedge, least

_CONNECTIONS, _STREAMS = 8, 2
_OPEN_CONNECTIONS, _OPEN_STREAMS = 16, 100
"""Of an open loop: more calls may be under way than ever are."""
_KEDGE = "Kedge"
_OURS = (_KEDGE, LEAST, LEAST_CHECKED)
_TRITON = "Triton, Python backend"
_ALONE = "onnxruntime, alone, 1 row"
_ARRANGEMENTS = ((1, 1, 1), (1, 2, 8), (2, 1, 1), (2, 1, 8))
"""Sessions at once, threads of each, rows of a run: the ways to use two cores without a server."""
_SPEND = """
import sys, time
share, began = float(sys.argv[1]), time.monotonic()
while True:
    while time.thread_time() < share * (time.monotonic() - began):
        pass
    time.sleep(0.002)
"""


def measure_mobilenet(wanted: Wanted) -> Measured:
    """MobileNetV2 under closed load beside Triton, bare onnxruntime and the least server, then at half of it, open."""
    model = network(NETWORKS[0], wanted.cache)
    closed: dict[str, list[Load]] = defaultdict(list)
    opened: dict[str, list[Load]] = defaultdict(list)
    for number in range(wanted.starts):
        scratch = wanted.scratch / str(number)
        scratch.mkdir()
        start = _one_start(model, replace(wanted, scratch=scratch))
        for all_loads, loads in ((closed, start.closed), (opened, start.opened)):
            for side, rounds in loads.items():
                all_loads[side] += rounds
    best = max((side for side in closed if side not in (*_OURS, _TRITON)), key=lambda side: _rate(closed[side]))
    latencies = [
        median(our.p99_ms / bare_.p50_ms for our, bare_ in zip(opened[side], opened[_ALONE], strict=True))
        for side in _OURS
    ]
    return Measured(
        lanes(f"MobileNetV2, {_CONNECTIONS} x {_STREAMS}", closed) + lanes("MobileNetV2 at half of that, open", opened),
        (
            _result("triton", [rate_ratio(closed[side], closed[_TRITON]) for side in _OURS])
            if _TRITON in closed
            else Result(FIGURE["triton"], None, start.why_no_triton),
            _result("bare", [rate_ratio(closed[side], closed[best]) for side in _OURS], f"best: {best}"),
            _result("open-loop", latencies),
        ),
    )


def _result(figure: str, values: Sequence[float], remark: str = "") -> Result:
    """Of Kedge, and of the least servers."""
    value, limit, limit_checked = values
    return Result(FIGURE[figure], value, remark, least=limit, least_checked=limit_checked)


class _Start(NamedTuple):
    """What servers that were started once have done: side -> its rounds."""

    closed: Mapping[str, list[Load]]
    opened: Mapping[str, list[Load]]
    why_no_triton: str


def _one_start(model: Model, wanted: Wanted) -> _Start:
    with ExitStack() as stack:
        served: dict[str, Call] = {
            _KEDGE: infer_call(stack.enter_context(kedge(model.repository)), model),
            LEAST: infer_call(stack.enter_context(least(model)), model),
            LEAST_CHECKED: infer_call(stack.enter_context(least(model, is_checked=True)), model),
        }
        in_open_loop = dict(served)
        why_no_triton = ""
        try:
            served[_TRITON] = peer_call(stack, "triton", model, wanted)
        except PeerMissing as why:
            why_no_triton = str(why)
        pressure = wanted.pressure(_CONNECTIONS, _STREAMS)
        generator = drive(served[_KEDGE], pressure).generator_cores
        turns = drivers(served, pressure)
        turns |= {
            f"onnxruntime, {instances} x {threads} threads, {rows} rows": partial(
                _bare_beside_load, model, wanted.seconds, (instances, threads, rows), generator
            )
            for instances, threads, rows in _ARRANGEMENTS
        }
        closed = alternate(turns, wanted.rounds)
        half = wanted.pressure(_OPEN_CONNECTIONS, _OPEN_STREAMS, _rate(closed[_KEDGE]) / 2)
        bare_alone: dict[str, Driver] = {_ALONE: partial(_bare, model, wanted.seconds, (1, 1, 1))}
        return _Start(closed, alternate(drivers(in_open_loop, half) | bare_alone, wanted.rounds), why_no_triton)


def measure_two_models(wanted: Wanted) -> Measured:
    """Two networks in one server, each alone and then both at once."""
    models = [network(kind, wanted.cache) for kind in NETWORKS]
    repository = wanted.scratch / "two"
    for model in models:
        shutil.copytree(model.repository / model.name, repository / model.name)  # links are refused
    pressure = wanted.pressure(_CONNECTIONS, _STREAMS)
    with kedge(repository) as side, ThreadPoolExecutor(len(models)) as pool:
        calls = {model.name: infer_call(side, model) for model in models}
        for call in calls.values():
            drive(call, pressure)
        rounds = [_alone_and_together(calls, pressure, pool) for _ in range(wanted.rounds)]
    alone = {name: [each[0][name] for each in rounds] for name in calls}
    together = {name: [each[1][name] for each in rounds] for name in calls}
    kept = {name: rate_ratio(together[name], alone[name]) for name in calls}
    return Measured(
        lanes(f"each alone, {_CONNECTIONS} x {_STREAMS}", alone) + lanes("both together", together),
        (Result(FIGURE["two-models"], min(kept.values()), ", ".join(f"{name}: {kept[name]:.2f}" for name in kept)),),
    )


def _alone_and_together(
    calls: dict[str, Call], pressure: Pressure, pool: ThreadPoolExecutor
) -> tuple[dict[str, Load], dict[str, Load]]:
    """One round. Whose CPU time is whose cannot be told while both run."""
    alone = {name: drive(call, pressure) for name, call in calls.items()}
    loads = pool.map(lambda call: drive(call, pressure), calls.values())
    return alone, {
        name: replace(load, cpu_us=nan, generator_cores=nan) for name, load in zip(calls, loads, strict=True)
    }


def _bare(model: Model, seconds: float, arrangement: tuple[int, int, int]) -> Load:
    instances, threads, rows = arrangement
    (array,) = model.inputs.values()
    return bare.measure(model.onnx, np.repeat(array, rows, axis=0), seconds, instances, threads)


def _bare_beside_load(model: Model, seconds: float, arrangement: tuple[int, int, int], generator_cores: float) -> Load:
    """As `_bare`, while another process spends what the load generator does: a server has not the cores to itself."""
    with _spending(generator_cores):
        return _bare(model, seconds, arrangement)


@contextmanager
def _spending(cores: float) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", _SPEND, str(cores)])  # noqa: S603
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _rate(loads: list[Load]) -> float:
    return median(each.per_second for each in loads)
