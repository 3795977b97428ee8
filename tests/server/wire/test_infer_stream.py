"""ModelStreamInfer on a real server: many requests on one stream."""

import asyncio
import queue
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from kedge_server.models import ModelTable
from kedge_server.pb.open_inference_pb2 import ModelInferRequest, ModelStreamInferResponse
from kedge_server.wire.infer_stream import Answered, InferStream
from kedge_server.wire.stream_room import StreamRooms
from tests.server.wire.served import OPEN_INFERENCE, TIMEOUT_S
from tests.services.bundles import identity, publish
from tests.services.server_process import ServerProcess, running_server

PATH = OPEN_INFERENCE + "ModelStreamInfer"


def request(model: str, x: np.ndarray, number: int = 0, timeout_us: int = 0) -> ModelInferRequest:
    made = ModelInferRequest(model_name=model, id=str(number))
    made.inputs.add(name="x", datatype="FP32", shape=x.shape)
    made.raw_input_contents.append(x.tobytes())
    if timeout_us:
        made.parameters["timeout"].int64_param = timeout_us
    return made


def echoed(values: object) -> np.ndarray:
    return np.atleast_2d(np.asarray(values, np.float32)) * np.ones((1, 4), np.float32)


def slow(rows: int = 64) -> np.ndarray:
    return np.zeros((rows, 1024), np.float32)


def asked(
    server: ServerProcess, requests: Iterable[ModelInferRequest], *, order: str = ""
) -> list[ModelStreamInferResponse]:
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.stream_stream(
            PATH, ModelInferRequest.SerializeToString, ModelStreamInferResponse.FromString
        )  # fmt: skip
        metadata = (("kedge-order", order),) if order else ()
        return list(call(iter(requests), timeout=TIMEOUT_S, metadata=metadata))


def ids(answers: list[ModelStreamInferResponse]) -> list[int]:
    return [int(answer.infer_response.id) for answer in answers]


def test_every_request_of_a_stream_gets_its_own_answer_in_order(server: ServerProcess):
    answers = asked(server, (request("echo_float32", echoed(number), number) for number in range(2000)))
    assert ids(answers) == list(range(2000))
    assert all(not answer.error_message for answer in answers)
    values = [np.frombuffer(answer.infer_response.raw_output_contents[0], np.float32)[0] for answer in answers]
    assert values == list(range(2000))


def test_requests_to_several_models_are_answered_in_order_unless_any_order_will_do(server: ServerProcess):
    def requests() -> Iterator[ModelInferRequest]:
        yield request("slow", slow(), 0)
        yield from (request("echo_float32", echoed(number), number) for number in range(1, 20))
        yield request("slow", slow(), 20)

    assert ids(asked(server, requests())) == list(range(21))
    unordered = ids(asked(server, requests(), order="any"))
    assert sorted(unordered) == list(range(21))
    assert unordered[0] != 0


def test_an_error_answers_its_request_and_the_stream_goes_on(server: ServerProcess):
    answers = asked(
        server,
        [
            request("echo_float32", echoed(1), 1),
            request("nowhere", echoed(2), 2),
            request("echo_float32", np.zeros((1, 5), np.float32), 3),
            request("slow", slow(1000), 4, timeout_us=20_000),
            request("echo_float32", echoed(5), 5),
        ],
    )
    assert ids(answers) == [1, 2, 3, 4, 5]
    assert [answer.error_message.partition(":")[0] for answer in answers] == [
        "", "NOT_FOUND", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "",
    ]  # fmt: skip
    assert "expected shape [batch, 4], got [1, 5]" in answers[2].error_message


def test_bytes_that_are_no_request_are_answered_with_an_error(server: ServerProcess):
    with grpc.insecure_channel(server.grpc) as channel:
        answers = [ModelStreamInferResponse.FromString(data) for data in channel.stream_stream(PATH)(iter([b"\xff"]))]
    assert [answer.error_message for answer in answers] == [
        "INVALID_ARGUMENT: the request cannot be parsed as inference.ModelInferRequest"
    ]


def test_inputs_unlike_training_are_told_in_the_parameters(server: ServerProcess):
    (answer,) = asked(server, [request("sqrt", np.full((1, 2), 100, np.float32))])
    assert not answer.error_message
    assert int(answer.infer_response.parameters["kedge-input-violation-count"].string_param) > 0
    assert '"kind": "above-range"' in answer.infer_response.parameters["kedge-input-violations"].string_param


def test_each_answer_is_the_final_one_of_its_request_for_clients_that_wait_for_that(server: ServerProcess):
    answers = asked(
        server, [request("echo_float32", echoed(1)), request("nowhere", echoed(2)), request("slow", slow())]
    )
    assert [answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers] == [True] * 3


def test_an_answer_that_is_too_large_only_with_what_it_tells_ends_no_stream(tmp_path: Path):
    """gRPC itself would end the whole stream."""
    publish(identity(), tmp_path, "echo")
    bare = 22  # bytes of a response beside its values
    rows = ((1 << 20) - bare - 16) // 16
    with running_server(tmp_path, "--max-message-mb", "1", "--queue-rows", "100000") as server:
        answers = asked(server, [request("echo", echoed(np.ones((rows, 1)))), request("echo", echoed(1), 2)])
    assert answers[0].error_message.startswith("RESOURCE_EXHAUSTED: the answer of 'echo' has")
    assert not answers[1].error_message


def test_requests_of_a_stream_are_counted_as_any_other(server: ServerProcess):
    labels = {"model": "echo_uint8", "protocol": "open-inference", "code": "OK"}
    before = server.metric("kedge_requests_total", **labels)

    def requests() -> Iterator[ModelInferRequest]:
        for _ in range(30):
            made = ModelInferRequest(model_name="echo_uint8")
            made.inputs.add(name="x", datatype="UINT8", shape=[1, 4])
            made.raw_input_contents.append(b"\1\2\3\4")
            yield made

    assert len(asked(server, requests())) == 30
    assert server.metric("kedge_requests_total", **labels) == before + 30


def test_a_caller_that_goes_away_leaves_nothing_behind(server: ServerProcess):
    with grpc.insecure_channel(server.grpc) as channel:
        held: queue.SimpleQueue[ModelInferRequest | None] = queue.SimpleQueue()
        call = channel.stream_stream(PATH, ModelInferRequest.SerializeToString)(iter(held.get, None))
        for number in range(8):
            held.put(request("slow", slow(512), number))
        server.wait_in_flight(1)
        call.cancel()
        held.put(None)
    deadline = threading.Event()
    for _ in range(200):
        if server.metric("kedge_inflight_requests") == 0:
            break
        deadline.wait(0.05)
    assert server.metric("kedge_inflight_requests") == 0


@pytest.mark.parametrize("requests", [1, 2, 40])
def test_a_stream_ends_when_the_server_drains_and_what_was_read_is_answered(tmp_path: Path, requests: int):
    publish(identity(), tmp_path, "echo")
    with running_server(tmp_path) as server, grpc.insecure_channel(server.grpc) as channel:
        held: queue.SimpleQueue[ModelInferRequest | None] = queue.SimpleQueue()
        call = channel.stream_stream(
            PATH, ModelInferRequest.SerializeToString, ModelStreamInferResponse.FromString
        )(iter(held.get, None))  # fmt: skip
        for number in range(requests):
            held.put(request("echo", echoed(number), number))
        assert [next(call).infer_response.id for _ in range(requests)] == [str(number) for number in range(requests)]
        server.send(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as ended:
            next(call)
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        held.put(None)
        assert server.wait() == 0


class Connection:
    """What a stream sees of its call: requests that are there already, and answers that are taken at once."""

    def __init__(self, requests: int) -> None:
        self.asked = [str(number).encode() for number in range(requests)]
        self.answers: list[bytes] = []
        self.code: grpc.StatusCode | None = None

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def read(self) -> bytes:
        if not self.asked:
            await asyncio.Event().wait()
        return self.asked.pop(0)

    async def write(self, data: bytes) -> None:
        self.answers.append(data)

    async def abort(self, code: grpc.StatusCode, _: str) -> None:
        self.code = code


@pytest.mark.parametrize("read", [17, 1], ids=["one waits for room", "one is answered at once"])
def test_what_was_read_when_the_server_drains_is_answered(read: int):
    async def story() -> Connection:
        models, connection, may_answer = ModelTable(), Connection(40), asyncio.Event()

        async def answer(data: bytes) -> Answered:
            await may_answer.wait()
            return Answered(data, is_immediate=False)

        stream = InferStream(answer, models, connection, StreamRooms(1 << 20))  # type: ignore[arg-type]  # is enough of one
        stream._is_immediate = read == 1
        running = asyncio.ensure_future(stream.run())
        for _ in range(500):  # turns of the loop, more than reading takes
            await asyncio.sleep(0)
        assert len(connection.asked) == 40 - read
        models.set_draining()
        await asyncio.sleep(0.01)
        may_answer.set()
        await asyncio.wait_for(running, 5)
        return connection

    connection = asyncio.run(story())
    assert connection.answers == [str(number).encode() for number in range(read)]
    assert connection.code == grpc.StatusCode.UNAVAILABLE
