"""One gRPC method, called: a message in, a message and the trailing metadata out, or a ClientError."""

from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from kedge_server.wire.caller.answers import Trailing
from kedge_server.wire.caller.errors import client_error

R = TypeVar("R", bound=Message)


class Method(Generic[R]):
    """A method of a service.

    Args:
        channel: to the server.
        path: `/package.Service/Method`.
        response: the type of its response.
    """

    def __init__(self, channel: grpc.Channel, path: str, response: type[R]) -> None:
        self._call: grpc.UnaryUnaryMultiCallable[Any, R] = channel.unary_unary(
            path, request_serializer=_serialized, response_deserializer=response.FromString
        )

    def __call__(self, request: Message, timeout_s: float | None) -> tuple[R, Trailing]:
        """Call it.

        Raises:
            ClientError: there is no answer.
        """
        try:
            response, call = self._call.with_call(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise client_error(error) from error
        return response, call.trailing_metadata()


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
