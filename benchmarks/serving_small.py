"""The tiny model, where the protocol is everything: CPU time per request, start, memory."""

import time
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks import processes
from benchmarks.peers.environments import PeerMissing
from benchmarks.serving_figures import Result
from benchmarks.serving_models import Model, mlp
from benchmarks.serving_runs import FIGURE, Measured, Wanted, alternate, cpu_ratio, drivers, lanes, peer_call
from benchmarks.serving_sides import (
    LEAST,
    LEAST_CHECKED,
    STREAM,
    NotServed,
    Side,
    echo,
    echo_call,
    infer_call,
    kedge,
    least,
    predict_call,
    stream_call,
)
from benchmarks.streams import drive_streams
from tests.services.server_process import started_server

_CONNECTIONS, _STREAMS = 8, 4
_ECHO, _INFER, _PREDICT = "grpcio asyncio echo", "Kedge", "Kedge, Predict"
_ECHO_STREAM, _STREAM = "grpcio asyncio echo, stream", "Kedge, ModelStreamInfer"
_PEERS = {"kserve": "KServe", "mlserver": "MLServer"}
_MEGABYTE = 10**6
_STARTS = 3
_COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": ""}
"""As in an installation, where a module's bytecode is written once, not made at every start."""


def measure_small(wanted: Wanted) -> Measured:
    """Kedge by both protocols and by streams, the echo, the least servers, and the peers that were asked for."""
    model = mlp(wanted.scratch)
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        floor, ours = stack.enter_context(echo()), stack.enter_context(kedge(model.repository))
        unary = {
            _ECHO: echo_call(floor, model),
            _INFER: infer_call(ours, model),
            _PREDICT: predict_call(ours, model),
        }
        for is_checked in (False, True):
            side = stack.enter_context(least(model, is_on_the_loop=True, is_checked=is_checked))
            unary[side.name] = infer_call(side, model)
        for peer, name in _PEERS.items():
            try:
                unary[name] = peer_call(stack, peer, model, wanted)
            except PeerMissing as why:
                missing[name] = str(why)
        streamed = {}
        try:
            streamed = {_STREAM: stream_call(ours, model), _ECHO_STREAM: echo_call(floor, model, STREAM)}
        except NotServed as why:
            missing[_STREAM] = str(why)
        pressure = wanted.pressure(_CONNECTIONS, _STREAMS)
        by_streams = {side: partial(drive_streams, call, pressure) for side, call in streamed.items()}
        loads = alternate(drivers(unary, pressure) | by_streams, wanted.rounds)

    def result(figure: str, ours: str, theirs: str) -> Result:
        if why := missing.get(ours) or missing.get(theirs):
            return Result(FIGURE[figure], None, why)
        value = cpu_ratio(loads[ours], loads[theirs])
        if ours != _INFER:
            return Result(FIGURE[figure], value)
        limits = [cpu_ratio(loads[limit], loads[theirs]) for limit in (LEAST, LEAST_CHECKED)]
        return Result(FIGURE[figure], value, least=limits[0], least_checked=limits[1])

    return Measured(
        lanes(f"MLP, {_CONNECTIONS} x {_STREAMS}", loads),
        (
            result("mlp", _INFER, _ECHO),
            *(result(f"mlp-{peer}", _INFER, side) for peer, side in _PEERS.items()),
            result("stream", _STREAM, _ECHO),
            result("predict", _PREDICT, _INFER),
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
            Result(FIGURE["memory"], resident / _MEGABYTE, f"PSS: {proportional / _MEGABYTE:.0f} MB"),
        ),
    )


def _start(model: Model) -> tuple[float, int, int]:
    """Seconds until it is ready, and its resident and proportional bytes after one request."""
    began = time.monotonic()
    with started_server(model.repository, env=_COMPILED_ONCE) as server:
        server.event("serving")
        server.wait_ready()
        seconds = time.monotonic() - began
        infer_call(Side("Kedge", server.process.pid, int(server.grpc.rpartition(":")[2])), model)
        return seconds, processes.rss_bytes(server.process.pid), processes.pss_bytes(server.process.pid)
