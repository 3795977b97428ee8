"""The least that a server of this stack can do with a network: the limit that Kedge's own figures are read against.

    python -m benchmarks.least model.onnx

grpcio's asyncio server on uvloop, two threads, onnxruntime in batches of four. Nothing is parsed, checked, counted or
bounded: the values of the one input are taken from the end of a ModelInferRequest's bytes. Prints the port that it
listens on.
"""

import asyncio
import queue
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np
import uvloop

from benchmarks import bare
from benchmarks.echo import serve
from kedge_server.app import SWITCH_S
from kedge_server.pb.open_inference_pb2 import ModelInferResponse
from kedge_server.wire.codec.fields import length_delimited

_INSTANCES, _BATCH = 2, 4
_RAW = ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number
_Waiting = tuple[bytes, "asyncio.Future[bytes]"]


class _Least:
    def __init__(self, path: Path) -> None:
        self._session = bare.session(path, threads=1)
        (given,) = self._session.get_inputs()
        self._name, self._shape = given.name, tuple(given.shape[1:])
        self._bytes = int(np.prod(self._shape)) * np.dtype(np.float32).itemsize
        self._waiting: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        for _ in range(_INSTANCES):
            threading.Thread(target=self._work, daemon=True).start()

    async def infer(self, request: bytes, _: object) -> bytes:
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting.put((request[-self._bytes :], future))
        return await future

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < _BATCH and not self._waiting.empty():
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:  # the other thread was quicker
                    break
            rows = np.frombuffer(b"".join([data for data, _ in batch]), np.float32).reshape(-1, *self._shape)
            (output,) = self._session.run(None, {self._name: rows})
            answers = [length_delimited(_RAW, row.tobytes()) for row in output]
            self._loop.call_soon_threadsafe(self._deliver, batch, answers)

    def _deliver(self, batch: Sequence[_Waiting], answers: Sequence[bytes]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


async def _answer(path: Path) -> None:
    least = _Least(path)
    method = grpc.unary_unary_rpc_method_handler(least.infer)
    await serve(grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method}))


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_answer(Path(sys.argv[1])))
