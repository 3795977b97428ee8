"""Requests to calls: everything that is wrong with a request is found at once, and nothing else is."""

import time

import numpy as np
import pytest

from kedge_server.errors import InvalidInput, ModelNotFound, NotSupported
from kedge_server.pb.open_inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from kedge_server.pb.tensor_pb2 import DT_FLOAT, TensorProto
from kedge_server.pb.tensorflow_serving_pb2 import PredictRequest, PredictResponse
from kedge_server.pipeline import Answer, Call
from kedge_server.wire.infer_call import InferCall
from kedge_server.wire.predict_call import PredictCall
from kedge_server.wire.usual_requests import UsualRequests

Input = ModelInferRequest.InferInputTensor
ONE = np.ones(1, np.float32).tobytes()


def infer(request: ModelInferRequest, remaining_s: float | None = None) -> Call:
    return InferCall(request.SerializeToString(), remaining_s, UsualRequests()).decode()


def fp32(name: str, *shape: int, **more: object) -> Input:
    return Input(name=name, datatype="FP32", shape=shape or (1,), **more)  # type: ignore[arg-type]


def descriptions(call: Call) -> list[str]:
    return [violation.description for violation in call.violations]


def test_a_good_request_becomes_a_call():
    request = ModelInferRequest(
        model_name="m", model_version="3", inputs=[fp32("a"), fp32("b")], raw_input_contents=[ONE, ONE]
    )
    request.outputs.add(name="y")
    request.outputs.add(name="y")
    call = infer(request)
    assert (call.model, call.version, call.outputs, call.deadline, call.violations) == ("m", 3, ("y",), None, ())
    assert {name: array.tolist() for name, array in call.inputs.items()} == {"a": [1.0], "b": [1.0]}


def test_every_input_that_cannot_be_read_is_named():
    request = ModelInferRequest(
        model_name="m",
        inputs=[fp32("good"), fp32("short"), fp32("negative", -1), Input(name="typo", datatype="float", shape=[1])],
        raw_input_contents=[ONE, b"abc", ONE, ONE],
    )
    call = infer(request)
    assert list(call.inputs) == ["good"]
    assert [violation.field for violation in call.violations] == ["short", "negative", "typo"]


def test_typed_and_raw_forms_do_not_mix():
    typed = fp32("b", contents=InferTensorContents(fp32_contents=[1.0]))
    call = infer(ModelInferRequest(model_name="m", inputs=[fp32("a"), typed], raw_input_contents=[ONE]))
    assert call.inputs == {}
    assert [violation.field for violation in call.violations] == ["a", "b"]
    assert "mixes raw_input_contents and contents" in descriptions(call)[0]


def test_fewer_raw_entries_than_inputs_name_those_without():
    call = infer(ModelInferRequest(model_name="m", inputs=[fp32("a"), fp32("b")], raw_input_contents=[ONE]))
    assert list(call.inputs) == ["a"]
    assert descriptions(call) == ["input 'b': expected its values in raw_input_contents[1], got 1 raw_input_contents"]


def test_more_raw_entries_than_inputs_are_refused():
    call = infer(ModelInferRequest(model_name="m", inputs=[fp32("a")], raw_input_contents=[ONE, ONE]))
    assert descriptions(call) == ["expected 1 raw_input_contents, one for each input, got 2"]


def test_an_input_that_stands_twice_is_named_once():
    call = infer(ModelInferRequest(model_name="m", inputs=[fp32("a")] * 3, raw_input_contents=[ONE] * 3))
    assert call.inputs == {}
    assert descriptions(call) == ["input 'a': stands in the request 3 times"]


def test_an_input_that_stands_twice_and_cannot_be_read_is_never_sent_on():
    call = infer(ModelInferRequest(model_name="m", inputs=[fp32("a")] * 2, raw_input_contents=[b"abc", ONE]))
    assert call.inputs == {}
    assert descriptions(call) == ["input 'a': stands in the request 2 times"]


def test_shared_memory_and_classification_are_refused_with_a_sentence():
    region = {"shared_memory_region": InferParameter(string_param="r")}
    request = ModelInferRequest(model_name="m", inputs=[fp32("a", parameters=region)])
    request.outputs.add(name="y").parameters["shared_memory_region"].string_param = "r"
    request.outputs.add(name="z").parameters["classification"].int64_param = 3
    assert descriptions(infer(request)) == [
        "output 'y': shared memory is not served; outputs come in the response",
        "output 'z': classification is not served; sort the values that come back",
        "input 'a': shared memory is not served; send the values in the request",
    ]


@pytest.mark.parametrize("name", ["sequence_id", "sequence_start", "sequence_end"])
def test_sequences_are_not_supported(name: str):
    request = ModelInferRequest(model_name="m", parameters={name: InferParameter(int64_param=1)})
    with pytest.raises(NotSupported, match="sequences"):
        infer(request)


@pytest.mark.parametrize(
    ("remaining_s", "timeout_us", "expected_s"), [(None, 2_000_000, 2), (1, 2_000_000, 1), (5, 2_000_000, 2), (5, 0, 5)]
)
def test_the_sooner_of_two_deadlines_counts(remaining_s: float | None, timeout_us: int, expected_s: float):
    for parameter in (InferParameter(int64_param=timeout_us), InferParameter(uint64_param=timeout_us)):
        call = infer(ModelInferRequest(model_name="m", parameters={"timeout": parameter}), remaining_s)
        assert call.deadline is not None
        assert call.deadline - time.monotonic() == pytest.approx(expected_s, abs=0.2)


@pytest.mark.parametrize(
    "parameter", [InferParameter(int64_param=-1), InferParameter(string_param="1"), InferParameter(double_param=0.5)]
)
def test_a_timeout_that_is_none_is_a_violation(parameter: InferParameter):
    call = infer(ModelInferRequest(model_name="m", parameters={"timeout": parameter}))
    assert [violation.field for violation in call.violations] == ["parameters.timeout"]


@pytest.mark.parametrize("version", ["-1", "1.0", "1" * 5000, "¹", " 1", "../1"])
def test_a_version_that_is_neither_a_number_nor_a_label_is_not_found(version: str):
    with pytest.raises(ModelNotFound, match="has no version"):
        infer(ModelInferRequest(model_name="m", model_version=version))


def test_requests_that_name_no_model_or_cannot_be_parsed_are_invalid():
    with pytest.raises(InvalidInput, match="names no model"):
        infer(ModelInferRequest())
    with pytest.raises(InvalidInput, match=r"cannot be parsed as inference\.ModelInferRequest"):
        InferCall(b"\xff\xff\xff", None, UsualRequests()).decode()
    with pytest.raises(InvalidInput, match=r"names no model in model_spec\.name"):
        PredictCall(b"", None, UsualRequests()).decode()
    with pytest.raises(InvalidInput, match=r"cannot be parsed as tensorflow\.serving\.PredictRequest"):
        PredictCall(b"\xff\xff\xff", None, UsualRequests()).decode()


def test_a_response_echoes_the_id_and_is_always_raw():
    call = InferCall(ModelInferRequest(model_name="m", id="request 7").SerializeToString(), None, UsualRequests())
    call.decode()
    outputs = {"y": np.array([[1.5]], np.float32), "s": np.array([b"a"], object)}
    data, trailing = call.encode(Answer("m", 2, outputs))
    response = ModelInferResponse.FromString(data)
    assert (response.model_name, response.model_version, response.id) == ("m", "2", "request 7")
    assert [(each.name, each.datatype, list(each.shape)) for each in response.outputs] == [
        ("y", "FP32", [1, 1]),
        ("s", "BYTES", [1]),
    ]
    assert list(response.raw_output_contents) == [np.float32(1.5).tobytes(), b"\1\0\0\0a"]
    assert not any(each.HasField("contents") for each in response.outputs)
    assert trailing == ()


def test_a_predict_request_becomes_a_call():
    request = PredictRequest(output_filter=["y", "y"])
    request.model_spec.name = "m"
    request.model_spec.version.value = 0
    request.model_spec.signature_name = "serving_default"
    request.inputs["good"].CopyFrom(TensorProto(dtype=DT_FLOAT, float_val=[2.0]))
    request.inputs["bad"].CopyFrom(TensorProto(dtype=DT_FLOAT))
    call = PredictCall(request.SerializeToString(), 3.0, UsualRequests()).decode()
    assert (call.model, call.version, call.label, call.outputs) == ("m", 0, None, ("y",))
    assert {name: array.tolist() for name, array in call.inputs.items()} == {"good": 2.0}
    assert [violation.field for violation in call.violations] == ["bad"]
    assert call.deadline is not None
    assert call.deadline - time.monotonic() == pytest.approx(3, abs=0.2)


def test_a_label_is_passed_on_and_another_signature_is_not_found():
    request = PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.version_label = "canary"
    assert PredictCall(request.SerializeToString(), None, UsualRequests()).decode().label == "canary"
    request.model_spec.signature_name = "classify"
    with pytest.raises(ModelNotFound, match="no signature 'classify'; every model has 'serving_default'"):
        PredictCall(request.SerializeToString(), None, UsualRequests()).decode()


def test_a_predict_response_says_what_answered():
    data, _ = PredictCall(b"", None, UsualRequests()).encode(Answer("m", 2, {"y": np.array([1.5], np.float32)}))
    response = PredictResponse.FromString(data)
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 2)
    assert response.model_spec.signature_name == "serving_default"
    assert list(response.outputs["y"].float_val) == [1.5]
