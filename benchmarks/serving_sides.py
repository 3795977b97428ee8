"""The servers that are compared: how each is started, and one answer of each, looked at before any load.

A side is up while its `with` block runs, and ended after it, whatever happened.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.load import Call
from benchmarks.serving_models import Model
from kedge_server.pb import open_inference_pb2, tensorflow_serving_pb2
from kedge_server.wire.codec.tensor_proto import decode
from tests.services.server_process import running_server

ROOT = Path(__file__).parents[1]
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
LEAST, LEAST_CHECKED = "the least there can be", "the least, checked"
_ANSWER_S = 30.0
_STOP_S = 10.0


class WrongAnswer(RuntimeError):
    """A server does not answer what the model answers, so how fast it does says nothing."""


class NotServed(RuntimeError):
    """A server does not know the method; the message is its own."""


@dataclass(frozen=True)
class Side:
    """A server that runs.

    Attributes:
        name: as the tables print it.
        pid: its first process.
        port: where it speaks gRPC on this machine.
    """

    name: str
    pid: int
    port: int


@contextmanager
def echo() -> Iterator[Side]:
    """`benchmarks.echo`: grpcio's asyncio server without a model."""
    with _module("grpcio asyncio echo", "benchmarks.echo") as side:
        yield side


@contextmanager
def least(model: Model, *, is_on_the_loop: bool = False, is_checked: bool = False) -> Iterator[Side]:
    """`benchmarks.least`: the same server around onnxruntime, and nothing else, or the least that checks and counts."""
    flags = ["--on-the-loop"] * is_on_the_loop + ["--checked"] * is_checked
    with _module(LEAST_CHECKED if is_checked else LEAST, "benchmarks.least", str(model.onnx.parent), *flags) as side:
        yield side


@contextmanager
def kedge(repository: Path) -> Iterator[Side]:
    """`serve-model` with its default settings: every check and every metric on."""
    with running_server(repository) as server:
        yield Side("Kedge", server.process.pid, int(server.grpc.rpartition(":")[2]))


@contextmanager
def _module(name: str, *words: str) -> Iterator[Side]:
    """A server of this package; it prints its port."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:  # noqa: S603
        try:
            if process.stdout is None or not (port := process.stdout.readline().strip()):
                raise RuntimeError(f"{words[0]} did not start")
            yield Side(name, process.pid, int(port))
        finally:
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Ask a server to stop; make it, where it does not within seconds."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def infer_call(side: Side, model: Model) -> Call:
    """ModelInfer of `model`, answered once and compared with onnxruntime's own answer.

    Raises:
        WrongAnswer: it differs.
        grpc.RpcError: there is none.
    """
    return _checked(side, model, INFER, model.infer_request, _infer_output)


def stream_call(side: Side, model: Model) -> Call:
    """ModelStreamInfer of `model`, one message; as `infer_call`.

    Raises:
        NotServed: the server has no such method.
    """

    def output(answer: bytes) -> NDArray[Any]:
        response = open_inference_pb2.ModelStreamInferResponse.FromString(answer)
        if response.error_message:
            raise WrongAnswer(f"{side.name} answers in its stream: {response.error_message}")
        return _infer_output(response.infer_response.SerializeToString())

    return _checked(side, model, STREAM, model.infer_request, output)


def predict_call(side: Side, model: Model) -> Call:
    """Predict of `model`; as `infer_call`."""

    def output(answer: bytes) -> NDArray[Any]:
        response = tensorflow_serving_pb2.PredictResponse.FromString(answer)
        return decode(response.outputs[model.output])

    return _checked(side, model, PREDICT, model.predict_request, output)


def echo_call(side: Side, model: Model, method: str = INFER) -> Call:
    """The same request to the echo, where it must come back as it is."""
    if (answer := _ask(side, method, model.infer_request)) != model.infer_request:
        raise WrongAnswer(f"the echo answers {len(answer)} other bytes than it was sent")
    return Call(side.pid, side.port, method, model.infer_request, len(answer))


def _infer_output(answer: bytes) -> NDArray[Any]:
    """The only output of a `ModelInferResponse`."""
    response = open_inference_pb2.ModelInferResponse.FromString(answer)
    if response.raw_output_contents:
        return np.frombuffer(response.raw_output_contents[0], np.float32)
    return np.array(response.outputs[0].contents.fp32_contents, np.float32)


def _checked(side: Side, model: Model, method: str, request: bytes, output: Callable[[bytes], NDArray[Any]]) -> Call:
    answer = _ask(side, method, request)
    got = output(answer).ravel()
    if got.shape != model.answer.shape or not np.allclose(got, model.answer, rtol=1e-3, atol=1e-5):
        raise WrongAnswer(f"{side.name} answers {got[:4]} for '{model.name}', onnxruntime {model.answer[:4]}")
    return Call(side.pid, side.port, method, request, len(answer))


def _ask(side: Side, method: str, request: bytes) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{side.port}", [("grpc.max_receive_message_length", -1)]) as channel:
        if method != STREAM:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            return call(request, timeout=_ANSWER_S, wait_for_ready=True)
        stream: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
        try:
            (answer,) = stream(iter([request]), timeout=_ANSWER_S, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise NotServed(error.details() or "not served") from error
            raise
        return answer
