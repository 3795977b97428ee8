"""A gRPC service as a table: each method of its descriptor has an answer, or a sentence why it has none.

Requests come as bytes, so that a message which cannot be parsed is the caller's fault, said in our words, and so that
the calls that are timed are timed with their parsing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sized
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from kedge_bundle.signature import Violation
from kedge_server.errors import InvalidInput, NotSupported
from kedge_server.wire.status import Context, guarded, guarded_stream

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Unary:
    """Answered from the parsed request with a message."""

    answer: Callable[[Any, Context], Awaitable[Message]]


@dataclass(frozen=True)
class Stream:
    """Answered from the parsed request with a stream of messages."""

    answer: Callable[[Any, Context], AsyncIterator[Message]]


@dataclass(frozen=True)
class Raw:
    """Answered from the request's bytes with the response's: the hot path, which times its own parsing."""

    answer: Callable[[bytes, Context], Awaitable[bytes]]


@dataclass(frozen=True)
class RawStream:
    """Answered from a stream of requests' bytes; the answer writes the responses' to the context."""

    answer: Callable[[AsyncIterator[bytes], Context], Awaitable[None]]


@dataclass(frozen=True)
class Refused:
    """Not answered; the sentence says what to use instead."""

    why: str


_MOST_ELEMENTS = 4096
"""Of one kind in a request. No model has so many inputs, and a message of 64 MB holds millions of empty ones."""

Answering = Unary | Stream | Raw | RawStream | Refused
Answers = Mapping[str, Answering]


def add_service(server: grpc.aio.Server, service: ServiceDescriptor, answers: Answers) -> None:
    """Register a service.

    Args:
        server: not yet started.
        service: from the generated module.
        answers: one for every method of the service, by its name.

    Raises:
        ValueError: a method without an answer, or an answer without a method.
    """
    methods = {method.name: method for method in service.methods}
    if methods.keys() != answers.keys():
        raise ValueError(f"{service.full_name}: expected answers to {sorted(methods)}, got {sorted(answers)}")
    handlers = {name: _handler(method, answers[name]) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def parsed(message: type[M], data: bytes) -> M:
    """Parse a request.

    Raises:
        InvalidInput: the bytes are no such message.
    """
    try:
        return message.FromString(data)
    except DecodeError as error:
        name = message.DESCRIPTOR.full_name
        raise InvalidInput([Violation("request", f"the request cannot be parsed as {name}")]) from error


def check_number(field: str, elements: Sized) -> None:
    """Refuse a request with absurdly many of something before each of them is looked at.

    Raises:
        InvalidInput: there are more than any model has inputs.
    """
    if len(elements) > _MOST_ELEMENTS:
        text = f"{field}: expected at most {_MOST_ELEMENTS}, got {len(elements)}"
        raise InvalidInput([Violation(field, text)])


def _handler(method: MethodDescriptor, answer: Answering) -> "grpc.RpcMethodHandler[Any, Any]":
    if isinstance(answer, RawStream):
        return grpc.stream_stream_rpc_method_handler(guarded(answer.answer, method.full_name))
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(guarded_stream(_stream(method, answer), method.full_name))
    return grpc.unary_unary_rpc_method_handler(guarded(_unary(method, answer), method.full_name))


def _unary(method: MethodDescriptor, answer: Answering) -> Callable[[Any, Context], Awaitable[bytes]]:
    if isinstance(answer, Raw):
        return answer.answer
    if isinstance(answer, Refused):
        return _refusing(answer.why)
    if not isinstance(answer, Unary):
        raise TypeError(f"{method.full_name} answers with one message, not with a stream")
    request_type = GetMessageClass(method.input_type)

    async def unary(data: bytes, context: Context) -> bytes:
        return (await answer.answer(parsed(request_type, data), context)).SerializeToString()

    return unary


def _stream(method: MethodDescriptor, answer: Answering) -> Callable[[Any, Context], AsyncIterator[bytes]]:
    if not isinstance(answer, Stream):
        raise TypeError(f"{method.full_name} answers with a stream")
    request_type = GetMessageClass(method.input_type)

    async def stream(data: bytes, context: Context) -> AsyncIterator[bytes]:
        async for message in answer.answer(parsed(request_type, data), context):
            yield message.SerializeToString()

    return stream


def _refusing(why: str) -> Callable[[Any, Context], Awaitable[bytes]]:
    async def refuse(_request: object, _context: Context) -> NoReturn:
        raise NotSupported(why)

    return refuse
