"""Why a call has no answer: gRPC's errors with the details that the server sends along (https://google.aip.dev/193)."""

from dataclasses import dataclass

import grpc
from google.rpc.error_details_pb2 import BadRequest, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class Violation:
    """One thing that the server does not accept: which tensor or field, and why."""

    field: str
    description: str


class ClientError(Exception):
    """A call without an answer.

    Attributes:
        code: the gRPC code's name, for example INVALID_ARGUMENT.
        message: the server's sentence.
        violations: everything that is wrong with the request, where the server says so.
        retry_after_s: when to try again, where the server says so.
    """

    def __init__(
        self, code: str, message: str, violations: tuple[Violation, ...] = (), retry_after_s: float | None = None
    ) -> None:
        self.code = code
        self.message = message
        self.violations = violations
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {message}")


class ServerUnreachable(ClientError):
    """Nobody listens at the address, or it is no gRPC server."""


def client_error(error: grpc.RpcError) -> ClientError:
    """A gRPC error as a client's.

    Kedge sends details with every status of its own; UNAVAILABLE without them comes from gRPC, which reached nobody.
    """
    code, message = error.code(), error.details() or ""
    details = next((each.value for each in error.trailing_metadata() or () if each.key == _DETAILS_KEY), None)
    if details is None:
        kind = ServerUnreachable if code == grpc.StatusCode.UNAVAILABLE else ClientError
        return kind(code.name, message)
    violations: list[Violation] = []
    retry_after_s = None
    for detail in Status.FromString(details).details:
        if detail.Is(BadRequest.DESCRIPTOR):
            request = BadRequest.FromString(detail.value)
            violations += [Violation(each.field, each.description) for each in request.field_violations]
        elif detail.Is(RetryInfo.DESCRIPTOR):
            delay = RetryInfo.FromString(detail.value).retry_delay
            retry_after_s = delay.seconds + delay.nanos / 1e9
    return ClientError(code.name, message, tuple(violations), retry_after_s)
