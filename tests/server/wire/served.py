"""A repository with a model for each thing that the wire has to carry, and raw calls to its server."""

from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from tests.services.bundles import identity, publish, slow_matmul, square_root, two_output

DTYPES = ("bool", "uint8", "int32", "int64", "float16", "float32", "float64", "string")
"""Those that the tiny bundles can be made of; the codec's own tests have all."""

OPEN_INFERENCE, PREDICTION = "/inference.GRPCInferenceService/", "/tensorflow.serving.PredictionService/"
MODEL_SERVICE, HEALTH = "/tensorflow.serving.ModelService/", "/grpc.health.v1.Health/"
TIMEOUT_S = 20.0

R = TypeVar("R", bound=Message)


def publish_all(repository: Path) -> None:
    """`echo_<dtype>` of (batch, 4), `scalar`, `two` in two versions, `sqrt` with statistics, `slow`, and `broken`."""
    for dtype in DTYPES:
        publish(identity(dtype), repository, f"echo_{dtype}")
    publish(identity("float32", ()), repository, "scalar")
    publish(two_output(2.0), repository, "two")
    publish(two_output(3.0), repository, "two")
    publish(square_root(), repository, "sqrt")
    publish(slow_matmul(), repository, "slow")
    broken = publish(identity(), repository, "broken")
    with (broken.directory / "model.onnx").open("ab") as file:
        file.write(b"changed")


class Caller:
    """Calls methods by their path, with messages or with bytes."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def ask(self, path: str, request: Message | bytes, response: type[R]) -> R:
        answer, _ = self.ask_with_trailing(path, request, response)
        return answer

    def ask_with_trailing(
        self, path: str, request: Message | bytes, response: type[R]
    ) -> tuple[R, dict[str, str | bytes]]:
        data = request if isinstance(request, bytes) else request.SerializeToString()
        answer, call = self.channel.unary_unary(path).with_call(data, timeout=TIMEOUT_S)
        return response.FromString(answer), dict(call.trailing_metadata())

    def refusal(self, path: str, request: Message | bytes, timeout_s: float = TIMEOUT_S) -> grpc.RpcError | None:
        """How the call failed; None when it was answered."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            self.channel.unary_unary(path)(data, timeout=timeout_s)
        except grpc.RpcError as error:
            return error
        return None


def violations(error: grpc.RpcError | None) -> list[tuple[str, str]]:
    """The fields and descriptions in an error's BadRequest."""
    assert error is not None
    (data,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    detail = BadRequest()
    assert Status.FromString(data).details[0].Unpack(detail)
    return [(each.field, each.description) for each in detail.field_violations]
