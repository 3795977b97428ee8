"""Errors on their way to the caller, through a real gRPC server with one method that fails as told."""

import asyncio
import gc
import weakref

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2

from kedge_bundle.signature import Violation
from kedge_server import errors
from kedge_server.pb import tensorflow_serving_pb2
from kedge_server.wire.registration import new_server
from kedge_server.wire.services import Context, Refused, Stream, Unary, add_service
from kedge_server.wire.status import guarded

MODEL_SERVICE = tensorflow_serving_pb2.DESCRIPTOR.services_by_name["ModelService"]
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
UNARY, REFUSED = (
    "/tensorflow.serving.ModelService/GetModelStatus",
    "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
)
STREAM = "/grpc.health.v1.Health/Watch"


async def drain(channel: grpc.aio.Channel, request: bytes) -> None:
    async for _ in channel.unary_stream(STREAM)(request):
        pass


def failure(error: Exception | None, method: str = UNARY, request: bytes = b"") -> grpc.aio.AioRpcError:
    """What a caller gets from a method that raises `error`."""

    async def fail(_request: object, _context: Context) -> object:
        assert error is not None
        raise error

    async def fail_later(_request: object, _context: Context) -> object:  # type: ignore[misc]
        yield health_pb2.HealthCheckResponse()
        assert error is not None
        raise error

    async def call() -> grpc.aio.AioRpcError:
        server = new_server(1 << 20, 1)
        add_service(
            server, MODEL_SERVICE, {"GetModelStatus": Unary(fail), "HandleReloadConfigRequest": Refused("no reloads")}
        )
        add_service(server, HEALTH, {"Check": Refused("no"), "List": Refused("no"), "Watch": Stream(fail_later)})
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await (drain(channel, request) if method == STREAM else channel.unary_unary(method)(request))
                return caught.value
        finally:
            await server.stop(None)

    return asyncio.run(call())


def status(error: grpc.aio.AioRpcError) -> Status:
    (value,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    return Status.FromString(value)


def violation(i: int, length: int = 10) -> Violation:
    return Violation(f"input{i}", f"input 'input{i}': " + "ü" * length)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput([violation(0)]), "INVALID_ARGUMENT"),
        (errors.ModelNotFound("no such model"), "NOT_FOUND"),
        (errors.NotSupported("not here"), "UNIMPLEMENTED"),
        (errors.QueueFull("full", 0.25), "RESOURCE_EXHAUSTED"),
        (errors.AnswerTooLarge("too large"), "RESOURCE_EXHAUSTED"),
        (errors.AnswersUnread("unread"), "RESOURCE_EXHAUSTED"),
        (errors.DeadlinePassed("late"), "DEADLINE_EXCEEDED"),
        (errors.NotReady("loading"), "UNAVAILABLE"),
        (errors.ModelFailed("failed", "cafe"), "INTERNAL"),
        (errors.NotAllowed("not you"), "PERMISSION_DENIED"),
        (errors.NotLoaded("broken"), "FAILED_PRECONDITION"),
    ],
)
def test_every_error_has_its_code_message_and_details(error: errors.ServingError, code: str):
    for method in (UNARY, STREAM):
        raised = failure(error, method)
        assert raised.code().name == code
        assert raised.details() == str(error)
        assert (status(raised).code, status(raised).message) == (grpc.StatusCode[code].value[0], str(error))


def test_every_error_class_is_tested_above():
    assert {each.__name__ for each in errors.ServingError.__subclasses__()} == {
        "InvalidInput", "ModelNotFound", "NotSupported", "QueueFull", "AnswerTooLarge", "AnswersUnread",
        "DeadlinePassed", "NotReady",
        "ModelFailed", "NotAllowed", "NotLoaded",
    }  # fmt: skip


class Aborting:
    """As much of gRPC's context as an error needs."""

    async def abort(self, *_: object) -> None:
        raise grpc.aio.AbortError


class Inputs:
    """Something large."""


@pytest.mark.parametrize("error", [errors.DeadlinePassed("late"), RuntimeError("none of ours")])
def test_nothing_of_a_request_outlives_its_error(error: Exception):
    held: list[weakref.ref[Inputs]] = []

    async def answer(_: bytes, __: object) -> None:
        inputs = Inputs()
        held.append(weakref.ref(inputs))
        future = asyncio.get_running_loop().create_future()
        future.set_exception(error)  # which keeps the error, whose traceback keeps this frame
        await future

    async def call() -> None:
        try:
            await guarded(answer, "Predict")(b"", Aborting())  # type: ignore[arg-type]
        except grpc.aio.AbortError:
            assert held[0]() is None

    gc.disable()
    try:
        asyncio.run(call())
    finally:
        gc.enable()
    assert held


def test_bad_request_names_every_violation():
    given = [violation(0), violation(1), Violation("input0", "also this")]
    detail = BadRequest()
    (packed,) = status(failure(errors.InvalidInput(given))).details
    assert packed.Unpack(detail)
    assert [(each.field, each.description) for each in detail.field_violations] == [
        (each.field, each.description) for each in given
    ]


def test_a_sentence_about_several_inputs_is_said_once():
    about_both = "the inputs differ in their number of rows"
    given = [Violation("a", about_both), Violation("b", about_both), Violation("b", "also this")]
    raised = failure(errors.InvalidInput(given))
    assert raised.details() == f"{about_both}; also this"
    detail = BadRequest()
    assert status(raised).details[0].Unpack(detail)
    assert [each.field for each in detail.field_violations] == ["a", "b", "b"]


def test_queue_full_says_when_to_retry():
    (packed,) = status(failure(errors.QueueFull("full", 1.25))).details
    detail = RetryInfo()
    assert packed.Unpack(detail)
    assert detail.retry_delay.ToMilliseconds() == 1250


@pytest.mark.parametrize(("count", "length"), [(1, 1_000_000), (1000, 10), (1000, 10_000), (5, 399)])
def test_what_is_too_much_for_trailing_metadata_is_cut_with_a_count(count: int, length: int):
    given = [violation(i, length) for i in range(count)]
    raised = failure(errors.InvalidInput(given))
    assert raised.code() is grpc.StatusCode.INVALID_ARGUMENT
    detail = BadRequest()
    assert status(raised).details[0].Unpack(detail)
    listed = [each for each in detail.field_violations if each.field]
    told = detail.field_violations[-1]
    assert 0 < len(listed) <= count
    if len(listed) < count:
        assert told.description == f"{count - len(listed)} more violations"
        assert "more violations" in (raised.details() or "")
    encoded = sum(1 if c.isascii() else 3 * len(c.encode()) for c in raised.details() or "")
    assert encoded + status(raised).ByteSize() * 4 / 3 < 7500


def test_a_callers_own_text_travels_whatever_is_in_it():
    raised = failure(errors.ModelNotFound("model 'a\0b\n%\udcff☃' is not here"))
    assert raised.details() == "model 'a\0b\n%?☃' is not here"


@pytest.mark.parametrize("method", [UNARY, STREAM])
def test_what_nobody_has_foreseen_is_told_with_an_id_only(method: str, capfd: pytest.CaptureFixture[str]):
    raised = failure(RuntimeError("/secret/path: password"), method)
    assert raised.code() is grpc.StatusCode.INTERNAL
    message = raised.details() or ""
    assert message.startswith("the server failed to answer (incident ")
    assert "secret" not in message
    incident = message.partition("(incident ")[2].partition(";")[0]
    out, err = capfd.readouterr()
    assert incident in out + err
    assert "secret" in out + err


def test_a_request_that_cannot_be_parsed_is_the_callers_fault():
    raised = failure(None, request=b"\xff\xff\xff")
    assert raised.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.details() == "the request cannot be parsed as tensorflow.serving.GetModelStatusRequest"


def test_a_refusal_says_its_sentence():
    raised = failure(None, REFUSED)
    assert (raised.code(), raised.details()) == (grpc.StatusCode.UNIMPLEMENTED, "no reloads")


def test_an_unknown_method_is_unimplemented():
    assert failure(None, "/tensorflow.serving.ModelService/Nothing").code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_service_without_an_answer_to_each_method_is_refused():
    async def make() -> None:
        with pytest.raises(ValueError, match=r"expected answers to .*GetModelStatus.*, got"):
            add_service(grpc.aio.server(), MODEL_SERVICE, {"HandleReloadConfigRequest": Refused("no")})

    asyncio.run(make())
