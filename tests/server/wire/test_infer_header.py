"""Requests whose header is read once: each keeps its own id, values and deadline."""

import numpy as np
import pytest

from kedge_server.errors import InvalidInput, ModelNotFound
from kedge_server.pb.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from kedge_server.pipeline import Answer, Call
from kedge_server.wire.codec.fields import length_delimited
from kedge_server.wire.infer_call import InferCall
from kedge_server.wire.infer_header import KEPT_HEADER_BYTES, usual_header


def request(values: np.ndarray, **fields: object) -> ModelInferRequest:
    made = ModelInferRequest(**{"model_name": "digits", **fields})
    made.inputs.add(name="x", datatype="FP32", shape=values.shape)
    made.raw_input_contents.append(values.tobytes())
    return made


def decoded(made: ModelInferRequest, remaining_s: float | None = None) -> tuple[Call, str]:
    """The call, and the id that its answer has."""
    call = InferCall(made.SerializeToString(), remaining_s)
    found = call.decode()
    data, _ = call.encode(Answer("digits", 1, {"y": np.zeros((1, 1), np.float32)}))
    return found, ModelInferResponse.FromString(data).id


def kept() -> int:
    return usual_header.cache_info().hits


@pytest.fixture(autouse=True)
def _nothing_is_known() -> None:
    usual_header.cache_clear()


def test_requests_alike_keep_their_own_id_and_values():
    for number in range(5):
        values = np.full((2, 3), number, np.float32)
        call, name = decoded(request(values, id=f"ü{number}" * number))
        assert name == f"ü{number}" * number
        np.testing.assert_array_equal(call.inputs["x"], values)
        assert (call.model, call.version, call.label, call.outputs, call.deadline) == ("digits", None, None, (), None)
    assert kept() == 4


def test_the_version_the_label_the_outputs_and_the_deadline_are_those_of_the_request():
    values = np.zeros((1, 2), np.float32)
    assert decoded(request(values, model_version="3"))[0].version == 3
    assert decoded(request(values, model_version="stable"))[0].label == "stable"
    made = request(values)
    for name in ("b", "a", "b"):
        made.outputs.add(name=name)
    assert decoded(made)[0].outputs == ("b", "a")
    first, second = decoded(request(values), 1.0)[0].deadline, decoded(request(values), 100.0)[0].deadline
    assert first is not None
    assert second is not None
    assert 90 < second - first < 110
    assert kept() == 1


def test_parameters_are_read_each_time():
    made = request(np.zeros((1, 2), np.float32))
    made.parameters["timeout"].int64_param = 10_000_000
    first, second = decoded(made)[0].deadline, decoded(made)[0].deadline
    assert first is not None
    assert second is not None
    assert second > first
    made.parameters["priority"].uint64_param = 3
    assert decoded(made)[0].priority == 3


def test_another_number_of_bytes_is_told_whether_the_header_is_known_or_not():
    good = request(np.zeros((2, 3), np.float32))
    bad = request(np.zeros((2, 3), np.float32))
    bad.raw_input_contents[0] = b"1234"
    assert not decoded(good)[0].violations
    for made in (bad, bad):
        (violation,) = decoded(made)[0].violations
        assert violation.description == "input 'x': expected 24 bytes for FP32 of shape [2, 3], got 4"


def test_a_version_that_is_none_is_not_found_each_time():
    for _ in range(2):
        with pytest.raises(ModelNotFound, match="has no version '9 9'"):
            decoded(request(np.zeros((1, 2), np.float32), model_version="9 9"))


def test_no_model_is_told_each_time():
    for _ in range(2):
        with pytest.raises(InvalidInput, match="names no model"):
            decoded(request(np.zeros((1, 2), np.float32), model_name=""))


def test_an_id_that_is_no_text_is_refused_whether_the_header_is_known_or_not():
    data = request(np.zeros((1, 2), np.float32)).SerializeToString()
    InferCall(data, None).decode()
    for message in (data, length_delimited(1, b"other") + data[8:]):
        with pytest.raises(InvalidInput, match="id is not UTF-8"):
            InferCall(message + length_delimited(3, b"\xff"), None).decode()


def test_values_that_lie_askew_in_the_message_come_aligned():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for length in range(1, 9):
        call, _ = decoded(request(values, model_name="m" * length))
        assert call.inputs["x"].flags.aligned
        assert not call.inputs["x"].flags.writeable
        np.testing.assert_array_equal(call.inputs["x"], values)


def test_a_long_header_is_not_kept():
    name = "m" * KEPT_HEADER_BYTES
    assert decoded(request(np.zeros((1, 2), np.float32), model_name=name))[0].model == name
    assert usual_header.cache_info().currsize == 0
