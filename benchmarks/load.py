"""`h2load` against one gRPC method: throughput, latencies, and the CPU time that the server spent on it.

h2load (Debian: `nghttp2-client`) repeats one HTTP/2 request. It reads no trailers, where gRPC says whether a call went
well, so each run counts the bytes of the answers as well: a gRPC error has none.
"""

import math
import re
import resource
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import cpu_s

H2LOAD = "h2load"
_HEADER_BYTES = 5
"""Of each gRPC message: not compressed, and its length."""
_PATIENCE_S = 120.0
_NEAR_ENOUGH = 0.02


class LoadFailed(RuntimeError):
    """The load was not answered as it should be, so its figures would mean nothing."""


@dataclass(frozen=True)
class Call:
    """The gRPC call that is repeated.

    Attributes:
        pid: the server's first process.
        port: where it listens on this machine.
        method: `/package.Service/Method`.
        message: the serialized request.
        answer_bytes: the size of the serialized answer.
    """

    pid: int
    port: int
    method: str
    message: bytes
    answer_bytes: int


@dataclass(frozen=True)
class Pressure:
    """How many calls are under way at once, and for how long.

    Attributes:
        connections: TCP connections.
        streams: calls at once on each of them.
        seconds: how long; ignored where `requests` are given.
        requests: how many in all; 0 where `seconds` say it.
        per_second: calls that begin in a second, evenly spaced, whether or not others have ended; 0: each when another
            has ended. Takes two connections or more.
    """

    connections: int
    streams: int
    seconds: float
    requests: int = 0
    per_second: float = 0.0


@dataclass(frozen=True)
class Load:
    """What came of it.

    Attributes:
        requests: calls that were answered.
        per_second: of them, in a second.
        p50_ms: median time from a call's begin to the end of its answer.
        p99_ms: what 99 of 100 stay below.
        cpu_us: the server's user and system time for each, in microseconds, of all its processes; NaN where not known.
        generator_cores: CPU time of the load generator in each second.
    """

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    generator_cores: float


def why_no_h2load() -> str | None:
    """Why there can be no load; None where there can."""
    return None if shutil.which(H2LOAD) else f"'{H2LOAD}' is not on PATH; on Debian: apt-get install nghttp2-client"


def drive(call: Call, pressure: Pressure) -> Load:
    """Put a server under load once.

    Raises:
        LoadFailed: h2load failed, or some call had no answer or one of another size.
    """
    with tempfile.TemporaryDirectory(prefix="kedge-load-") as scratch:
        body, log = Path(scratch, "body"), Path(scratch, "log")
        body.write_bytes(b"\0" + struct.pack(">I", len(call.message)) + call.message)
        command = [H2LOAD, "-t", "1", *_flags(pressure), "-d", str(body), f"--log-file={log}"]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        before, own_before = cpu_s(call.pid), _children_s()
        printed = _output([*command, f"http://127.0.0.1:{call.port}{call.method}"])
        spent, own = cpu_s(call.pid) - before, _children_s() - own_before
        requests, per_second = _counted(printed, call.answer_bytes)
        durations_ms = sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text("utf-8").splitlines())
    return Load(
        requests=requests,
        per_second=per_second,
        p50_ms=quantile(durations_ms, 0.5),
        p99_ms=quantile(durations_ms, 0.99),
        cpu_us=spent / requests * 1e6,
        generator_cores=own * per_second / requests,
    )


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` of them do not exceed."""
    return ascending[max(math.ceil(share * len(ascending)) - 1, 0)]


def evenly(connections: int, per_second: float) -> tuple[int, float]:
    """How many milliseconds after each other connections must begin for their calls to come evenly spaced.

    All connections keep one period, which is as many slots as there are connections. Where each begins a number of
    slots after the one before that has no divisor in common with the number of connections, every slot gets its call.
    h2load takes whole milliseconds, so the rate that makes them whole is returned as well: within a fiftieth of what is
    wanted, where one is, and of those the one with the shortest beginning.
    """
    orders = [order for order in range(1, connections) if math.gcd(order, connections) == 1]
    wanted_ms = [order * 1000 / per_second for order in orders]
    near = (
        (order, round(wanted))
        for order, wanted in zip(orders, wanted_ms, strict=True)
        if abs(round(wanted) / wanted - 1) <= _NEAR_ENOUGH
    )
    order, stagger = next(near, (orders[-1], max(round(wanted_ms[-1]), 1)))
    return stagger, order * 1000 / stagger


def _flags(pressure: Pressure) -> list[str]:
    flags = ["-c", str(pressure.connections), "-m", str(pressure.streams)]
    if pressure.per_second:
        stagger, per_second = evenly(pressure.connections, pressure.per_second)
        flags += [
            f"--rps={per_second / pressure.connections:.4f}",
            "-r",
            "1",
            f"--rate-period={stagger}ms",
        ]  # which goes with -n alone
    elif not pressure.requests:
        return [*flags, "-D", f"{pressure.seconds * 1000:.0f}ms"]
    return [*flags, "-n", str(pressure.requests or round(pressure.per_second * pressure.seconds))]


def _output(command: list[str]) -> str:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    try:
        printed, _ = process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"h2load had no end within {_PATIENCE_S:.0f} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
    if process.returncode:
        raise LoadFailed(f"h2load ended with {process.returncode}: {printed[-500:]}")
    return printed


def _counted(printed: str, answer_bytes: int) -> tuple[int, float]:
    """How many calls were answered, and how many a second.

    Raises:
        LoadFailed: a call failed, or the bytes of the answers are too few for all to be well.
    """
    total, done = _numbers(printed, r"(\d+) total, \d+ started, (\d+) done")
    (ok,) = _numbers(printed, r"status codes: (\d+) 2xx")
    (data_bytes,) = _numbers(printed, r"\((\d+)\) data")
    (per_second,) = _numbers(printed, r"([\d.]+) req/s")
    if not total or not total == done == ok:
        raise LoadFailed(f"of {total:.0f} calls {done:.0f} ended, {ok:.0f} of them with HTTP status 2xx")
    if data_bytes < (wanted := done * (_HEADER_BYTES + answer_bytes)):
        raise LoadFailed(f"{done:.0f} calls got {data_bytes:.0f} bytes of answers, not {wanted:.0f}: some got errors")
    return int(done), per_second


def _numbers(printed: str, pattern: str) -> list[float]:
    if (found := re.search(pattern, printed)) is None:
        raise LoadFailed(f"h2load printed nothing like '{pattern}': {printed[-500:]}")
    return [float(number) for number in found.groups()]


def _children_s() -> float:
    """CPU seconds of the children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
