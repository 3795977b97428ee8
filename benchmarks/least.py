"""The least that a server of this stack can do with a model: the limits that Kedge's own figures are read against.

    python -m benchmarks.least BUNDLE [--on-the-loop] [--checked]

grpcio's asyncio server on uvloop around onnxruntime: two threads in batches of four, or on the event loop in batches of
what comes together. Nothing is parsed, checked, counted or bounded: the values of the one input are taken from the end
of a ModelInferRequest's bytes.

With `--checked` each request is also decoded, compared with the signature and with training, timed, its outputs looked
at, its response made and all of it counted: by Kedge's own functions, in one coroutine. Queue limits, priorities,
cancelled work, versions, labels and errors are still missing. Prints the port that it listens on.
"""

import argparse
import asyncio
import gc
import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks import bare
from benchmarks.echo import serve
from kedge_bundle import __version__
from kedge_bundle.store import Bundle, open_bundle
from kedge_server.app import SWITCH_S
from kedge_server.gathering import Gathering
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.pb.open_inference_pb2 import ModelInferResponse
from kedge_server.pipeline import Answer
from kedge_server.series import CallRecord
from kedge_server.validation import Contract, Policy, check_inputs, check_outputs
from kedge_server.wire.codec.fields import length_delimited
from kedge_server.wire.infer_call import InferCall
from kedge_server.wire.usual_requests import UsualRequests

_INSTANCES, _BATCH = 2, 4
_RAW = ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number


@dataclass(slots=True)
class _Waiting:
    """A request that waits for its answer; the rest is there where requests are checked."""

    values: bytes | memoryview
    future: asyncio.Future[bytes]
    call: InferCall | None = None
    record: CallRecord | None = None
    began: float = 0.0


class _Least:
    def __init__(self, bundle: Bundle, *, is_on_the_loop: bool) -> None:
        (artifact,) = [each for each in bundle.manifest.artifacts if each.name == "onnx"]
        self._session = bare.session(bundle.directory / artifact.main_path, threads=1)
        (given,) = self._session.get_inputs()
        self._input, self._shape = given.name, tuple(given.shape[1:])
        self._bytes = int(np.prod(self._shape)) * np.dtype(np.float32).itemsize
        self._loop = asyncio.get_running_loop()
        self._gathering = Gathering()
        self._gathering.is_useful = is_on_the_loop
        self._here: list[_Waiting] = []
        self._waiting: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        for _ in range(0 if is_on_the_loop else _INSTANCES):
            threading.Thread(target=self._work, daemon=True).start()

    async def infer(self, request: bytes, _: object) -> bytes:
        if (turn := self._gathering.turn()) is not None:
            await turn
        return await self._put(_Waiting(request[-self._bytes :], self._loop.create_future()))

    def _put(self, one: _Waiting) -> asyncio.Future[bytes]:
        if not self._gathering.is_useful:
            self._waiting.put(one)
            return one.future
        self._here.append(one)
        if len(self._here) == 1:
            self._loop.call_soon(self._run_here)
        return one.future

    def _run_here(self) -> None:
        batch, self._here = self._here, []
        self._deliver(batch, self._run(batch))

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < _BATCH and not self._waiting.empty():
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:  # the other thread was quicker
                    break
            self._loop.call_soon_threadsafe(self._deliver, batch, self._run(batch))

    def _outputs(self, batch: Sequence[_Waiting]) -> NDArray[np.float32]:
        rows = np.frombuffer(b"".join([one.values for one in batch]), np.float32).reshape(-1, *self._shape)
        (output,) = self._session.run(None, {self._input: rows})
        return np.asarray(output, np.float32)

    def _run(self, batch: Sequence[_Waiting]) -> list[bytes]:
        return [length_delimited(_RAW, row.tobytes()) for row in self._outputs(batch)]

    def _deliver(self, batch: Sequence[_Waiting], answers: Sequence[bytes]) -> None:
        for one, answer in zip(batch, answers, strict=True):
            if not one.future.done():
                one.future.set_result(answer)


class _Checked(_Least):
    def __init__(self, bundle: Bundle, *, is_on_the_loop: bool) -> None:
        super().__init__(bundle, is_on_the_loop=is_on_the_loop)
        self._contract, self._policy = Contract(bundle.manifest.signature, bundle.manifest.input_stats), Policy()
        (self._output,) = bundle.manifest.signature.output_names
        self._model = bundle.manifest.name
        self._usual = UsualRequests()
        self._metrics = Metrics(ModelTable(), __version__)

    async def infer(self, request: bytes, context: object) -> bytes:
        if (turn := self._gathering.turn()) is not None:
            await turn
        record = self._metrics.start("open-inference")
        infer_call = InferCall(request, context.time_remaining(), self._usual)  # type: ignore[attr-defined]  # gRPC's
        call = infer_call.decode()
        decoded = time.perf_counter()
        record.inputs = check_inputs(call.inputs, self._contract, self._policy, call.violations, call.outputs)
        record.inputs.raise_if_refused()
        record.decode, record.validate = decoded - record.started_at, time.perf_counter() - decoded
        (array,) = call.inputs.values()
        one = _Waiting(array.data, self._loop.create_future(), infer_call, record, time.perf_counter())
        answer = await self._put(one)
        self._metrics.finish(record)
        return answer

    def _run(self, batch: Sequence[_Waiting]) -> list[bytes]:
        began = time.perf_counter()
        output = self._outputs(batch)
        ran = time.perf_counter()
        answers: list[bytes] = []
        for place, one in enumerate(batch):
            outputs = {self._output: output[place : place + 1]}
            if one.call is None or one.record is None:
                raise TypeError("a request that was not decoded")
            one.record.outputs = check_outputs(outputs)
            answers.append(one.call.encode(Answer(self._model, 1, outputs))[0])
            one.record.queue, one.record.run = began - one.began, ran - began
            one.record.encode = time.perf_counter() - ran
        return answers


async def _answer(bundle: Bundle, *, is_checked: bool, is_on_the_loop: bool) -> None:
    least = (_Checked if is_checked else _Least)(bundle, is_on_the_loop=is_on_the_loop)
    method = grpc.unary_unary_rpc_method_handler(least.infer)
    gc.freeze()
    await serve(grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--on-the-loop", action="store_true")
    parser.add_argument("--checked", action="store_true")
    wanted = parser.parse_args()
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_answer(open_bundle(wanted.bundle), is_checked=wanted.checked, is_on_the_loop=wanted.on_the_loop))
