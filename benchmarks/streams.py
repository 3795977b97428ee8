"""A client that keeps bidirectional streams busy, which h2load cannot: many messages on each, some under way at once.

It runs in a process of its own, so that it takes no time from the one that looks at the server:

    python -m benchmarks.streams JSON

takes a `Work` and prints `answers`, `seconds`, `cpu_s` (its own), `latencies_ms` and `sizes` (of the answers, how many
of each).
"""

import asyncio
import base64
import json
import math
import subprocess
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
import uvloop

from benchmarks.load import Call, Load, LoadFailed, Pressure, quantile
from benchmarks.processes import cpu_s

_ROOT = Path(__file__).parents[1]
_PATIENCE_S = 120.0


def drive_streams(call: Call, pressure: Pressure) -> Load:
    """Keep `connections` streams busy with `streams` messages under way on each; a message is a request of the result.

    Raises:
        LoadFailed: the client failed, or an answer had another size than the first one.
    """
    work = Work(
        port=call.port,
        method=call.method,
        message=base64.b64encode(call.message).decode(),
        streams=pressure.connections,
        window=pressure.streams,
        seconds=pressure.seconds,
        messages=math.ceil(pressure.requests / pressure.connections),
    )
    command = [sys.executable, "-m", "benchmarks.streams", json.dumps(asdict(work))]
    before = cpu_s(call.pid)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT, timeout=_PATIENCE_S)  # noqa: S603
    spent = cpu_s(call.pid) - before
    if done.returncode:
        raise LoadFailed(f"the streams failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    told = json.loads(done.stdout)
    if told["sizes"] != {str(call.answer_bytes): told["answers"]}:
        raise LoadFailed(f"streams were answered with messages of {told['sizes']} bytes, not of {call.answer_bytes}")
    return Load(
        requests=told["answers"],
        per_second=told["answers"] / told["seconds"],
        p50_ms=quantile(told["latencies_ms"], 0.5),
        p99_ms=quantile(told["latencies_ms"], 0.99),
        cpu_us=spent / told["answers"] * 1e6,
        generator_cores=told["cpu_s"] / told["seconds"],
    )


@dataclass(frozen=True)
class Work:
    """What the client process is told.

    Attributes:
        port: of the server.
        method: `/package.Service/Method`.
        message: base64 of the serialized request.
        streams: how many, each on a connection of its own.
        window: messages under way on each.
        seconds: how long; ignored where `messages` are given.
        messages: on each stream; 0 where `seconds` say it.
    """

    port: int
    method: str
    message: str
    streams: int
    window: int
    seconds: float
    messages: int


@dataclass
class _Tally:
    """What all streams have seen."""

    sizes: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)


async def _one(work: Work, until: float, tally: _Tally) -> None:
    """One stream on a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{work.port}", options) as channel:
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(work.method)()
        try:
            await _keep_busy(call, work, until, tally)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # a write to a stream that has ended says only that
            sys.exit(f"the server ended one of them: {(await call.code()).name}: {await call.details()}")


async def _keep_busy(call: "grpc.aio.StreamStreamCall[bytes, bytes]", work: Work, until: float, tally: _Tally) -> None:
    """`window` messages, then one for each answer until the time or the messages are spent."""
    message, left = base64.b64decode(work.message), work.messages or sys.maxsize
    sent: deque[float] = deque()
    for _ in range(min(work.window, left)):
        sent.append(time.monotonic())
        left -= 1
        await call.write(message)
    while sent:
        answer = await call.read()
        if not isinstance(answer, bytes):
            raise asyncio.InvalidStateError
        now = time.monotonic()
        tally.sizes[len(answer)] += 1
        tally.latencies_ms.append((now - sent.popleft()) * 1000)
        if left and now < until:
            sent.append(now)
            left -= 1
            await call.write(message)
    await call.done_writing()


async def _main(work: Work) -> dict[str, object]:
    tally, began, own = _Tally(), time.monotonic(), time.process_time()
    until = math.inf if work.messages else began + work.seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(work.streams):
            group.create_task(_one(work, until, tally))
    return {
        "answers": tally.sizes.total(),
        "seconds": time.monotonic() - began,
        "cpu_s": time.process_time() - own,
        "sizes": tally.sizes,
        "latencies_ms": sorted(tally.latencies_ms),
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_main(Work(**json.loads(sys.argv[1]))))))
