"""Every error's way to the caller: one rule, wrapped round every handler. `ServingError.code` is the gRPC code.

Wrapped, not intercepted: gRPC's interceptors cost a fifth of a small request.

Details travel as google.rpc.Status (https://google.aip.dev/193): BadRequest names every violation, RetryInfo says when
to come back. They are trailing metadata, of which peers accept 8 KB by default, so they are cut to fit, with a count.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn, TypeVar

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from kedge_bundle.signature import Violation
from kedge_server.errors import InvalidInput, ModelFailed, QueueFull, ServingError
from kedge_server.incidents import incident

_log = structlog.get_logger("kedge.wire")

_MESSAGE_BYTES = 1400
"""The message travels twice: percent-encoded as grpc-message, and in the details, which grow by a third in base64."""

_DETAILS_BYTES = 2600
_FIELD_CHARACTERS, _DESCRIPTION_CHARACTERS = 100, 400

_DETAILS_KEY = "grpc-status-details-bin"

Context = grpc.aio.ServicerContext[bytes, bytes]
Request = TypeVar("Request")
Response = TypeVar("Response")


def guarded(
    answer: Callable[[Request, Context], Awaitable[Response]], method: str
) -> Callable[[Request, Context], Awaitable[Response]]:
    """A handler of one request whose errors become statuses: a ServingError its own, anything else INTERNAL."""

    async def guarded(request: Request, context: Context) -> Response:
        try:
            return await answer(request, context)
        except Exception as error:  # noqa: BLE001 (the last place before the wire; everything becomes a status)
            await _abort(context, method, error)

    return guarded


def guarded_stream(
    answer: Callable[[Request, Context], AsyncIterator[Response]], method: str
) -> Callable[[Request, Context], AsyncIterator[Response]]:
    """The same for a handler that answers with a stream."""

    async def guarded(request: Request, context: Context) -> AsyncIterator[Response]:
        try:
            async for response in answer(request, context):
                yield response
        except Exception as error:  # noqa: BLE001 (as above)
            await _abort(context, method, error)

    return guarded


async def _abort(context: Context, method: str, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):  # gRPC's own; the status is set already
        raise error
    error = as_serving_error(method, error)
    status = status_of(error)
    details = ((_DETAILS_KEY, status.SerializeToString()),)
    await context.abort(grpc.StatusCode[error.code], status.message, details)


def as_serving_error(method: str, error: Exception) -> ServingError:
    """The error as callers may see it: what is none of ours goes to the log, and they get its number.

    Its traceback ends here: the frames in it hold the request, the answer and the future that holds the error, all of
    which would stay until the collector comes by.
    """
    told = error if isinstance(error, ServingError) else _logged(method, error)
    error.__traceback__ = None
    return told


def _logged(method: str, error: Exception) -> ModelFailed:
    return incident(_log, "unexpected_error", "the server failed to answer", error, method=method)


def status_of(error: ServingError) -> Status:
    """The status of an error, with details where it has some, small enough for trailing metadata."""
    code, _ = grpc.StatusCode[error.code].value
    if isinstance(error, InvalidInput):
        sentences = dict.fromkeys(violation.description for violation in error.violations)  # some are about two inputs
        status = Status(code=code, message=_joined([*sentences]))
        status.details.add().Pack(_bad_request(error.violations))
    else:
        status = Status(code=code, message=_joined([str(error)]))
    if isinstance(error, QueueFull):
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


def _bad_request(violations: list[Violation]) -> BadRequest:
    made = BadRequest()
    for index, violation in enumerate(violations):
        made.field_violations.add(
            field=_shortened(violation.field, _FIELD_CHARACTERS),
            description=_shortened(violation.description, _DESCRIPTION_CHARACTERS),
        )
        if made.ByteSize() > _DETAILS_BYTES:
            del made.field_violations[-1]
            made.field_violations.add(field="", description=f"{len(violations) - index} more violations")
            break
    return made


def _joined(sentences: list[str]) -> str:
    """The sentences in one, as many as fit, and the number of those that do not."""
    message = _shortened(sentences[0], _DESCRIPTION_CHARACTERS)
    for index, sentence in enumerate(sentences[1:], start=1):
        longer = f"{message}; {_shortened(sentence, _DESCRIPTION_CHARACTERS)}"
        if _encoded_bytes(longer) > _MESSAGE_BYTES:
            return f"{message}; {len(sentences) - index} more violations"
        message = longer
    return message


def _shortened(text: str, characters: int) -> str:
    """Text that can travel, cut where a caller's own names made it long."""
    kept = text[:characters].encode("utf-8", "replace").decode("utf-8")
    return kept if len(text) <= characters else f"{kept[:-1]}…"


def _encoded_bytes(text: str) -> int:
    """Bytes of grpc-message: printable ASCII but '%' as it is, every other byte as %XX."""
    return sum(
        1 if character.isascii() and character.isprintable() and character != "%" else 3 * len(character.encode())
        for character in text
    )
