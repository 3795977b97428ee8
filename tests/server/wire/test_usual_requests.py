"""Requests of which all but id and values is read once: each keeps its own id, values and deadline."""

import random
import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from kedge_server.errors import InvalidInput, ModelNotFound, ServingError
from kedge_server.pb.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from kedge_server.pb.tensorflow_serving_pb2 import PredictRequest
from kedge_server.pipeline import Answer, Call
from kedge_server.wire.codec import tensor_proto
from kedge_server.wire.codec.fields import length_delimited
from kedge_server.wire.infer_call import InferCall
from kedge_server.wire.predict_call import PredictCall
from kedge_server.wire.usual_requests import UsualRequests

Array = NDArray[np.generic]
Decode = Callable[[bytes, float | None, UsualRequests], Call]


@pytest.fixture
def usual() -> UsualRequests:
    return UsualRequests()


def infer_request(values: Array, **fields: object) -> ModelInferRequest:
    made = ModelInferRequest(**{"model_name": "digits", **fields})
    made.inputs.add(name="x", datatype="FP32", shape=values.shape)
    made.raw_input_contents.append(values.tobytes())
    return made


def predict_request(values: Array, **spec: object) -> PredictRequest:
    made = PredictRequest(model_spec={"name": "digits", **spec})
    tensor = made.inputs["x"]
    tensor.dtype = tensor_proto.DATA_TYPES[str(values.dtype)]
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = values.tobytes()
    return made


def typed_request(values: Array, **spec: object) -> PredictRequest:
    """The values in the typed field of their dtype."""
    made = PredictRequest(model_spec={"name": "digits", **spec})
    made.inputs["x"].CopyFrom(tensor_proto.encode(values))
    return made


def infer(data: bytes, remaining_s: float | None, usual: UsualRequests) -> Call:
    return InferCall(data, remaining_s, usual).decode()


def predict(data: bytes, remaining_s: float | None, usual: UsualRequests) -> Call:
    return PredictCall(data, remaining_s, usual).decode()


BOTH = pytest.mark.parametrize(
    ("request_of", "decode"), [(infer_request, infer), (predict_request, predict), (typed_request, predict)]
)


def with_id(made: ModelInferRequest, usual: UsualRequests) -> tuple[Call, str]:
    """The call, and the id that its answer has."""
    call = InferCall(made.SerializeToString(), None, usual)
    found = call.decode()
    data, _ = call.encode(Answer("digits", 1, {"y": np.zeros((1, 1), np.float32)}))
    return found, ModelInferResponse.FromString(data).id


def is_known(made: ModelInferRequest | PredictRequest, usual: UsualRequests) -> bool:
    return usual.find(made.SerializeToString(), None) is not None


def said(call: Call) -> tuple[object, ...]:
    """All that a call says, so that it can be compared."""
    inputs = {name: (array.dtype, array.shape, array.tobytes()) for name, array in call.inputs.items()}
    return inputs, call.model, call.version, call.label, call.outputs, call.deadline, call.priority, call.violations


@BOTH
def test_requests_alike_keep_their_own_values(request_of: Callable[..., ModelInferRequest], decode: Decode):
    usual = UsualRequests()
    for number in range(5):
        values = np.full((2, 3), number, np.float32)
        assert is_known(request_of(values), usual) == bool(number)
        call = decode(request_of(values).SerializeToString(), None, usual)
        np.testing.assert_array_equal(call.inputs["x"], values)
        assert (call.model, call.version, call.label, call.outputs, call.deadline) == ("digits", None, None, (), None)
    assert len(usual) == 1


def test_each_keeps_its_own_id(usual: UsualRequests):
    values = np.ones((2, 3), np.float32)
    for name in ("", "ü1", "ü2", "42", "a longer one"):
        assert with_id(infer_request(values, id=name), usual)[1] == name
    assert is_known(infer_request(values, id="ab"), usual)
    assert is_known(infer_request(values, id="another one."), usual)


@BOTH
def test_the_deadline_is_that_of_the_request(request_of: Callable[..., ModelInferRequest], decode: Decode):
    usual = UsualRequests()
    data = request_of(np.zeros((1, 2), np.float32)).SerializeToString()
    first, second, third = (decode(data, seconds, usual).deadline for seconds in (1.0, 100.0, None))
    assert first is not None
    assert second is not None
    assert 90 < second - first < 110
    assert third is None


def test_version_label_and_outputs_are_those_of_the_request(usual: UsualRequests):
    values = np.zeros((1, 2), np.float32)
    for _ in range(2):
        assert with_id(infer_request(values, model_version="3"), usual)[0].version == 3
        assert with_id(infer_request(values, model_version="9"), usual)[0].version == 9
        assert with_id(infer_request(values, model_version="stable"), usual)[0].label == "stable"
        assert predict(predict_request(values, version={"value": 3}).SerializeToString(), None, usual).version == 3
        made = predict_request(values, version_label="stable")
        made.output_filter.extend(["b", "a", "b"])
        call = predict(made.SerializeToString(), None, usual)
        assert (call.label, call.outputs) == ("stable", ("b", "a"))
        made = infer_request(values)
        for name in ("b", "a", "b"):
            made.outputs.add(name=name)
        assert with_id(made, usual)[0].outputs == ("b", "a")


def test_parameters_are_read_each_time(usual: UsualRequests):
    made = infer_request(np.zeros((1, 2), np.float32))
    made.parameters["timeout"].int64_param = 10_000_000
    first, second = with_id(made, usual)[0].deadline, with_id(made, usual)[0].deadline
    assert first is not None
    assert second is not None
    assert second > first
    made.parameters["priority"].uint64_param = 3
    assert with_id(made, usual)[0].priority == 3
    assert not len(usual)


@BOTH
def test_another_number_of_bytes_is_told_each_time(request_of: Callable[..., ModelInferRequest], decode: Decode):
    usual = UsualRequests()
    good, bad = request_of(np.zeros((2, 3), np.float32)), request_of(np.zeros((2, 3), np.float32))
    if isinstance(bad, ModelInferRequest):
        bad.raw_input_contents[0] = b"1234"
    elif request_of is predict_request:
        bad.inputs["x"].tensor_content = b"1234"
    else:
        bad.inputs["x"].float_val.pop()
    assert not decode(good.SerializeToString(), None, usual).violations
    for _ in range(2):
        (violation,) = decode(bad.SerializeToString(), None, usual).violations
        assert re.match("input 'x': expected (24 bytes|6 values)", violation.description)


def test_a_version_that_is_none_is_not_found_each_time(usual: UsualRequests):
    for _ in range(2):
        with pytest.raises(ModelNotFound, match="has no version '9 9'"):
            with_id(infer_request(np.zeros((1, 2), np.float32), model_version="9 9"), usual)


@BOTH
def test_no_model_is_told_each_time(request_of: Callable[..., ModelInferRequest], decode: Decode):
    usual = UsualRequests()
    made = request_of(np.zeros((1, 2), np.float32))
    if isinstance(made, ModelInferRequest):
        made.model_name = ""
    else:
        made.model_spec.name = ""
    for _ in range(2):
        with pytest.raises(InvalidInput, match="names no model"):
            decode(made.SerializeToString(), None, usual)


def test_an_id_that_is_no_text_is_refused_where_it_is_known_what_the_request_says(usual: UsualRequests):
    data = infer_request(np.zeros((1, 2), np.float32), id="i").SerializeToString()
    for _ in range(2):
        infer(data, None, usual)
        wrong = data.replace(length_delimited(3, b"i"), length_delimited(3, b"\xff"))
        with pytest.raises(InvalidInput, match="id is not UTF-8"):
            infer(wrong, None, usual)


def test_an_id_behind_the_values_and_the_last_of_two_count(usual: UsualRequests):
    data = infer_request(np.zeros((1, 2), np.float32)).SerializeToString()
    for ids in ((b"behind",), (b"one", b"two")):
        message = data + b"".join(length_delimited(3, one) for one in ids)
        for _ in range(2):
            call = InferCall(message, None, usual)
            call.decode()
            answer, _ = call.encode(Answer("digits", 1, {}))
            assert ModelInferResponse.FromString(answer).id == ids[-1].decode()


@BOTH
def test_values_that_lie_askew_in_the_message_come_aligned(
    request_of: Callable[..., ModelInferRequest], decode: Decode
):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    usual = UsualRequests()
    for length in [*range(1, 9)] * 2:
        made = request_of(values)
        if isinstance(made, ModelInferRequest):
            made.model_name = "m" * length
        else:
            made.model_spec.name = "m" * length
        call = decode(made.SerializeToString(), None, usual)
        assert call.inputs["x"].flags.aligned
        # Typed values are parsed, and copied, the first time.
        assert request_of is typed_request or not call.inputs["x"].flags.writeable
        np.testing.assert_array_equal(call.inputs["x"], values)
    assert len(usual) == 8


@BOTH
def test_what_is_not_of_the_usual_kind_is_read_each_time(request_of: Callable[..., ModelInferRequest], decode: Decode):
    long = {"model_name": "m" * 2000} if decode is infer else {"name": "m" * 2000}
    several = request_of(np.zeros((1, 2), np.float32))
    bools = request_of(np.zeros((1, 2), np.bool_))
    if isinstance(several, ModelInferRequest):
        several.inputs.add(name="z", datatype="FP32", shape=[1])
        several.raw_input_contents.append(b"4321")
        bools.inputs[0].datatype = "BOOL"
    else:
        several.inputs["z"].CopyFrom(tensor_proto.encode(np.zeros(1, np.float32)))
    usual = UsualRequests()
    for made in (request_of(np.zeros((1, 2), np.float32), **long), several, bools):
        for _ in range(2):
            call = decode(made.SerializeToString(), None, usual)
            assert not call.violations
            assert call.model == (made.model_name if isinstance(made, ModelInferRequest) else made.model_spec.name)
        assert not len(usual)


@pytest.mark.parametrize("request_of", [infer_request, predict_request])
def test_a_byte_that_is_no_bool_is_told_each_time(request_of: Callable[..., ModelInferRequest]):
    usual = UsualRequests()
    decode = infer if request_of is infer_request else predict
    for byte in (0, 1, 2, 1, 2):
        made = request_of(np.full((1, 2), byte, np.uint8))
        if isinstance(made, ModelInferRequest):
            made.inputs[0].datatype = "BOOL"
        else:
            made.inputs["x"].dtype = tensor_proto.DATA_TYPES["bool"]
        assert bool(decode(made.SerializeToString(), None, usual).violations) == (byte > 1)


@pytest.mark.parametrize("dtype", ["float16", "int32", "int64", "bool"])
def test_values_that_do_not_travel_as_their_own_bytes_are_read_each_time(dtype: str, usual: UsualRequests):
    for value in range(3):
        values = np.full((1, 4), value, dtype)
        call = predict(typed_request(values).SerializeToString(), None, usual)
        np.testing.assert_array_equal(call.inputs["x"], values)
    assert not len(usual)


def test_one_value_for_a_whole_shape_is_read_each_time(usual: UsualRequests):
    made = typed_request(np.zeros((1, 4), np.float32))
    for value in range(3):
        del made.inputs["x"].float_val[:]
        made.inputs["x"].float_val.append(value)
        call = predict(made.SerializeToString(), None, usual)
        np.testing.assert_array_equal(call.inputs["x"], np.full((1, 4), value, np.float32))
    assert not len(usual)


def test_no_more_is_remembered_than_there_is_room_for(usual: UsualRequests):
    for rows in range(1, 2000):
        infer(infer_request(np.zeros((rows, 1), np.float32)).SerializeToString(), None, usual)
    assert 0 < len(usual) <= 512


def test_callers_that_send_as_many_bytes_do_not_drive_each_other_out(usual: UsualRequests):
    values = np.ones((1, 2), np.float32)
    names = [("resnet", "input_10"), ("resnet50", "input_"), ("resnet_50", "input"), ("r", "a_long_input_")]
    asked = []
    for model, name in names:
        made = infer_request(values, model_name=model, id="x" * 36)
        made.inputs[0].name = name
        asked.append(made)
    assert len({len(made.SerializeToString()) for made in asked}) == 1
    for made in asked:
        with_id(made, usual)
    for made in asked:
        assert is_known(made, usual)
        call, _ = with_id(made, usual)
        assert (call.model, list(call.inputs)) == (made.model_name, [made.inputs[0].name])


@BOTH
def test_changed_bytes_say_the_same_whether_others_are_known_or_not(
    request_of: Callable[..., ModelInferRequest], decode: Decode
):
    """Any byte but one of the values may change what a request says; so no such change may go unnoticed."""

    def outcome(data: bytes, usual: UsualRequests) -> object:
        try:
            return said(decode(data, None, usual))
        except ServingError as error:
            return type(error), str(error)

    usual = UsualRequests()
    whole = request_of(np.arange(60, dtype=np.float32).reshape(2, 30))
    if isinstance(whole, ModelInferRequest):
        whole.id = "one"
    data = whole.SerializeToString()
    dice = random.Random(0)  # noqa: S311 (a test's)
    assert len(data) > 256
    for place in range(len(data)):
        for byte in {0, 1, 0x0A, 0x12, 0x22, 0x3A, 0xFF, dice.randrange(256)}:
            outcome(data, usual)
            changed = data[:place] + bytes([byte]) + data[place + 1 :]
            for _ in range(2):
                assert outcome(changed, usual) == outcome(changed, UsualRequests()), (place, byte)
