"""How each group of figures is measured: which sides run at once, in which order they are driven, what is divided."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import processes
from benchmarks.load import Call, Load, Pressure, drive
from benchmarks.serving_figures import FIGURES, Lane, Result
from benchmarks.serving_models import Model, mlp
from benchmarks.serving_sides import Side, echo, echo_call, infer_call, kedge, predict_call
from tests.services.server_process import started_server

FIGURE = {figure.name: figure for figure in FIGURES}
_MEGABYTE = 10**6
_STARTS = 3


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        scratch: a directory that is removed afterwards.
        figures: the names of those to measure.
        rounds: how often each side has its turn.
        seconds: of each turn.
        requests: of each turn instead; 0: `seconds` count.
    """

    scratch: Path
    figures: frozenset[str]
    rounds: int
    seconds: float
    requests: int = 0

    def pressure(self, connections: int, streams: int, per_second: float = 0.0) -> Pressure:
        """A turn of this length."""
        return Pressure(connections, streams, self.seconds, self.requests, per_second)


@dataclass(frozen=True)
class Measured:
    """What a group found out."""

    lanes: tuple[Lane, ...]
    results: tuple[Result, ...]


def measure_mlp(wanted: Wanted) -> Measured:
    """The tiny model, where the protocol is everything: Kedge, by both protocols, and the echo."""
    model = mlp(wanted.scratch)
    with ExitStack() as stack:
        floor, ours = stack.enter_context(echo()), stack.enter_context(kedge(model.repository))
        calls = {
            "grpcio asyncio echo": echo_call(floor, model),
            "Kedge": infer_call(ours, model),
            "Kedge, Predict": predict_call(ours, model),
        }
        loads = alternate(_drivers(calls, wanted.pressure(8, 4)), wanted.rounds)
    lanes = _lanes("MLP, 8 x 4", loads)
    floor_loads, infer, predict = (loads[side] for side in calls)
    return Measured(
        lanes,
        (
            Result(FIGURE["mlp"], cpu_ratio(infer, floor_loads)),
            Result(FIGURE["predict"], cpu_ratio(predict, infer)),
        ),
    )


def measure_start(wanted: Wanted) -> Measured:
    """From the command to /readyz, and what memory the server then holds.

    A first start, which fills the system's caches, is not counted.
    """
    model = mlp(wanted.scratch)
    starts = [_start(model) for _ in range(_STARTS + 1)][1:]
    seconds, resident, proportional = (median(column) for column in zip(*starts, strict=True))
    return Measured(
        (),
        (
            Result(FIGURE["start"], seconds, f"median of {_STARTS} starts"),
            Result(
                FIGURE["memory"], resident / _MEGABYTE, f"{proportional / _MEGABYTE:.0f} MB without what others share"
            ),
        ),
    )


GROUPS: Mapping[Callable[[Wanted], Measured], tuple[str, ...]] = {
    measure_mlp: ("mlp", "predict"),
    measure_start: ("start", "memory"),
}
"""Each way to measure, and the figures that come of it."""


def alternate(drivers: Mapping[str, Callable[[], Load]], rounds: int) -> dict[str, list[Load]]:
    """Drive every side once to warm it, then each in turn, `rounds` times: what slows the machine slows all."""
    for driver in drivers.values():
        driver()
    loads: dict[str, list[Load]] = {side: [] for side in drivers}
    for _ in range(rounds):
        for side, driver in drivers.items():
            loads[side].append(driver())
    return loads


def cpu_ratio(ours: Sequence[Load], theirs: Sequence[Load]) -> float:
    """The median over the rounds of our CPU time per request ÷ theirs in the same round."""
    return median(our.cpu_us / their.cpu_us for our, their in zip(ours, theirs, strict=True))


def _drivers(calls: Mapping[str, Call], pressure: Pressure) -> dict[str, Callable[[], Load]]:
    return {side: partial(drive, call, pressure) for side, call in calls.items()}


def _lanes(title: str, loads: Mapping[str, Sequence[Load]]) -> tuple[Lane, ...]:
    return tuple(Lane(title, side, tuple(rounds)) for side, rounds in loads.items())


def _start(model: Model) -> tuple[float, int, int]:
    """Seconds until it is ready, and its resident and proportional bytes after one request."""
    began = time.monotonic()
    with started_server(model.repository) as server:
        server.event("serving")
        server.wait_ready()
        seconds = time.monotonic() - began
        infer_call(Side("Kedge", server.process.pid, int(server.grpc.rpartition(":")[2])), model)
        return seconds, processes.rss_bytes(server.process.pid), processes.pss_bytes(server.process.pid)
