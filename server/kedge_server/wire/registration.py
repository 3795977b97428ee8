"""Makes a gRPC server and hangs every service of this package onto it."""

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, enable_server_reflection

from kedge_server.admin import Admin
from kedge_server.metrics import Metrics
from kedge_server.pb import open_inference_pb2, tensorflow_serving_pb2
from kedge_server.pipeline import Pipeline
from kedge_server.precedence import polite
from kedge_server.wire.answer_limits import AnswerLimits
from kedge_server.wire.health import HealthService
from kedge_server.wire.open_inference import OpenInferenceService
from kedge_server.wire.services import add_service
from kedge_server.wire.tensorflow_serving import ModelService, PredictionService

_SERVING = tensorflow_serving_pb2.DESCRIPTOR.services_by_name
_PREDICTION, _MODEL = _SERVING["PredictionService"], _SERVING["ModelService"]
_INFERENCE = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]

_MOST_PENDING = 1 << 20
"""Calls that have come and that nobody has looked at yet. Above 1000, gRPC would cancel some at random, and their
callers read CANCELLED, as if they had done so; a full queue is ours to tell of, with the time to come back."""


_LARGEST_OPTION = 2**31 - 1
"""What gRPC takes as a number."""

_CALLS = 4096
"""Of one connection at a time; clients keep further ones back. Without a limit, one that reads no answers could begin
calls until the memory is full."""


def add_services(  # noqa: PLR0913 (what a server is made of, by name)
    server: grpc.aio.Server,
    pipeline: Pipeline,
    metrics: Metrics,
    admin: Admin,
    *,
    reflection: bool,
    server_version: str,
    max_rows: int,
    message_bytes: int,
    unread_bytes: int,
) -> None:
    """Let `server` answer both protocols, health checks and, where wanted, reflection.

    Args:
        server: not yet started.
        pipeline: the way to an answer, and the table of models.
        metrics: what ModelStatistics reports from.
        admin: what operators may ask for.
        reflection: whether clients may ask which services and messages there are.
        server_version: what ServerMetadata says.
        max_rows: rows of one request at most, what ModelConfig says.
        message_bytes: the largest answer; what `new_server` was given.
        unread_bytes: what a connection may leave unread.
    """
    limits = AnswerLimits(message_bytes, unread_bytes)
    services = {
        _PREDICTION: PredictionService(pipeline, limits).answers,
        _MODEL: ModelService(pipeline.models, admin).answers,
        _INFERENCE: OpenInferenceService(
            pipeline, metrics, admin, server_version, max_rows=max_rows, limits=limits
        ).answers,
        _HEALTH: HealthService(pipeline.models, [_PREDICTION, _MODEL, _INFERENCE]).answers,
    }
    for service, answers in services.items():
        add_service(server, service, answers)
    if reflection:
        enable_server_reflection([*(service.full_name for service in services), SERVICE_NAME], server)


def new_server(message_bytes: int, queue_rows: int) -> grpc.aio.Server:
    """A server without services.

    Args:
        message_bytes: the largest message, either way.
        queue_rows: what may wait for a model; so many calls of one connection can be told that it is full.
    """
    with polite():  # it begins its threads here
        return grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),  # two servers on one port would each answer a part of the calls
                ("grpc.server.max_pending_requests", _MOST_PENDING),
                ("grpc.server.max_pending_requests_hard_limit", _MOST_PENDING),
                ("grpc.max_concurrent_streams", min(max(_CALLS, 2 * queue_rows), _LARGEST_OPTION)),
                ("grpc.max_receive_message_length", message_bytes),
                ("grpc.max_send_message_length", message_bytes),
            ],
        )
