"""What all measurements share: what was asked for, turns of the sides, ratios of rounds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import grpc

from benchmarks.load import Call, Load, LoadFailed, Pressure, drive
from benchmarks.peers.environments import PeerMissing
from benchmarks.peers.sides import start
from benchmarks.serving_figures import FIGURES, Figure, Lane, Result
from benchmarks.serving_models import Model
from benchmarks.serving_sides import WrongAnswer, infer_call

FIGURE: Mapping[str, Figure] = {figure.name: figure for figure in FIGURES}
Driver = Callable[[], Load]


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        scratch: a directory that is removed afterwards.
        cache: where exported networks and the environments of peers are kept.
        figures: the names of those to measure.
        peers: the names of those to run beside Kedge.
        rounds: how often each side has its turn.
        starts: how often the servers of a network are started anew, for so many rounds each.
        seconds: of each turn.
        requests: of each turn instead; 0: `seconds` count.
    """

    scratch: Path
    cache: Path
    figures: frozenset[str]
    peers: frozenset[str]
    rounds: int
    seconds: float
    requests: int = 0
    starts: int = 1

    def pressure(self, connections: int, streams: int, per_second: float = 0.0) -> Pressure:
        """A turn of this length."""
        return Pressure(connections, streams, self.seconds, self.requests, per_second)


@dataclass(frozen=True)
class Measured:
    """What a measurement found out."""

    lanes: tuple[Lane, ...]
    results: tuple[Result, ...]


def alternate(turns: Mapping[str, Driver], rounds: int) -> dict[str, list[Load]]:
    """Drive each side in turn, `rounds` times and once before to warm it: what slows the machine slows all.

    Raises:
        LoadFailed: a side, which is named, did not answer as it should.
    """
    loads: dict[str, list[Load]] = {side: [] for side in turns}
    for _ in range(rounds + 1):
        for side, driver in turns.items():
            try:
                loads[side].append(driver())
            except LoadFailed as error:
                raise LoadFailed(f"{side}: {error}") from error
    return {side: rounds_[1:] for side, rounds_ in loads.items()}


def drivers(calls: Mapping[str, Call], pressure: Pressure) -> dict[str, Driver]:
    """h2load under the same pressure for each side's call."""
    return {side: partial(drive, call, pressure) for side, call in calls.items()}


def lanes(title: str, loads: Mapping[str, Sequence[Load]]) -> tuple[Lane, ...]:
    """The rounds of each side as lanes of one load."""
    return tuple(Lane(title, side, tuple(rounds)) for side, rounds in loads.items())


def cpu_ratio(ours: Sequence[Load], theirs: Sequence[Load]) -> float:
    """The median over the rounds of our CPU time per request ÷ theirs in the same round."""
    return median(our.cpu_us / their.cpu_us for our, their in zip(ours, theirs, strict=True))


def rate_ratio(ours: Sequence[Load], theirs: Sequence[Load]) -> float:
    """The median over the rounds of our throughput ÷ theirs in the same round."""
    return median(our.per_second / their.per_second for our, their in zip(ours, theirs, strict=True))


def peer_call(stack: ExitStack, peer: str, model: Model, wanted: Wanted) -> Call:
    """A peer that runs until `stack` closes, asked once.

    Raises:
        PeerMissing: it was not asked for, or cannot be had, or does not answer as the model does.
    """
    if peer not in wanted.peers:
        raise PeerMissing(f"not asked for: --peers {peer}")
    try:
        return infer_call(start(stack, peer, model, wanted.cache, wanted.scratch), model)
    except (WrongAnswer, grpc.RpcError) as error:
        raise PeerMissing(f"no right answer: {error}") from error
