"""No request, however broken, makes the server fail, hang or lose its other callers."""

import random

import grpc
import numpy as np
import pytest

from kedge_server.client import Client
from kedge_server.pb import open_inference_pb2 as oip
from kedge_server.pb import tensorflow_serving_pb2 as tfs
from kedge_server.wire.codec import tensor_proto
from kedge_server.wire.codec.open_inference import encode_raw
from tests.server.wire.served import MODEL_SERVICE, OPEN_INFERENCE, PREDICTION, Caller, violations
from tests.services.server_process import ServerProcess

INFER, PREDICT = f"{OPEN_INFERENCE}ModelInfer", f"{PREDICTION}Predict"
OURS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}
NAMES = ["", "../etc", "a/../b", "two/../two", "/", "two\0", "\0", "две", "☃" * 50, "x" * 200_000, "two ", "TWO", ".."]
SIZES = [-(2**63), -1, 0, 1, 2, 3, 4, 2**31, 2**62, 2**63 - 1]


@pytest.fixture(autouse=True)
def _the_server_still_answers(server: ServerProcess):  # noqa: ANN202 (a generator that yields nothing)
    yield
    with Client(server.grpc) as client:
        ones = np.ones((1, 3), np.float32)
        assert client.predict("two", {"a": ones, "b": ones}, timeout_s=20)["total"].tolist() == [[6.0, 6.0, 6.0]]
    assert server.process.poll() is None
    assert not [event for event in server.log() if event.get("event") == "unexpected_error"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_models_that_are_none(caller: Caller, name: str):
    expected = {"INVALID_ARGUMENT"} if not name else {"NOT_FOUND"}
    predict, status = tfs.PredictRequest(), tfs.GetModelStatusRequest()
    describe = tfs.GetModelMetadataRequest(metadata_field=["signature_def"])
    for request in (predict, status, describe):
        request.model_spec.name = name
    calls = [
        (INFER, oip.ModelInferRequest(model_name=name)),
        (f"{OPEN_INFERENCE}ModelMetadata", oip.ModelMetadataRequest(name=name)),
        (f"{OPEN_INFERENCE}ModelReady", oip.ModelReadyRequest(name=name)),
        (f"{OPEN_INFERENCE}ModelConfig", oip.ModelConfigRequest(name=name)),
        (PREDICT, predict),
        (f"{MODEL_SERVICE}GetModelStatus", status),
        (f"{PREDICTION}GetModelMetadata", describe),
    ]
    for path, message in calls:
        error = caller.refusal(path, message)
        assert error is not None, path
        assert error.code().name in expected, (path, error)
        assert len(error.details() or "") < 1400


@pytest.mark.parametrize("field", ["version", "label", "signature"])
def test_versions_labels_and_signatures_that_are_none(caller: Caller, field: str):
    predict, status = tfs.PredictRequest(), tfs.GetModelStatusRequest()
    for spec in (predict.model_spec, status.model_spec):
        spec.name = "two"
        if field == "version":
            spec.version.value = 7
        elif field == "label":
            spec.version_label = "canary"
        else:
            spec.signature_name = "classify"
    for path, request in ((PREDICT, predict), (f"{MODEL_SERVICE}GetModelStatus", status)):
        error = caller.refusal(path, request)
        assert error is not None
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert "two" in (error.details() or "")


def test_a_model_that_failed_to_load_is_unavailable(caller: Caller):
    error = caller.refusal(INFER, oip.ModelInferRequest(model_name="broken"))
    assert error is not None
    assert error.code() is grpc.StatusCode.UNAVAILABLE


def test_open_inference_names_every_violation_in_one_error(caller: Caller):
    request = oip.ModelInferRequest(model_name="two", raw_input_contents=[bytes(5), bytes(8), bytes(32), bytes(1)])
    request.inputs.add(name="a", datatype="FP32", shape=[2, 3])
    request.inputs.add(name="c", datatype="FP32", shape=[2, 1])
    request.inputs.add(name="b", datatype="FP64", shape=[1, 4])
    request.outputs.add(name="sum")
    found = violations(caller.refusal(INFER, request))
    assert sorted(found) == sorted(
        [
            ("a", "input 'a': expected 24 bytes for FP32 of shape [2, 3], got 5"),
            ("raw_input_contents", "expected 3 raw_input_contents, one for each input, got 4"),
            ("c", "input 'c': the model has no such input; it has 'a', 'b'"),
            ("b", "input 'b': expected dtype float32, got float64"),
            ("b", "input 'b': expected shape [batch, 3], got [1, 4]"),
            ("sum", "output 'sum': the model has no such output; it has 'total', 'difference'"),
        ]
    )


def test_tensorflow_serving_names_every_violation_in_one_error(caller: Caller):
    request = tfs.PredictRequest(output_filter=["sum"])
    request.model_spec.name = "two"
    request.inputs["a"].CopyFrom(tensor_proto.encode(np.full((1, 3), np.nan, np.float32)))
    request.inputs["b"].CopyFrom(tensor_proto.encode(np.zeros((1, 3), np.float32)))
    request.inputs["b"].tensor_content = b"\0"
    found = dict(violations(caller.refusal(PREDICT, request)))
    assert found.keys() == {"a", "b", "sum"}
    assert "expected finite values, got 3 of 3" in found["a"]
    assert found["b"] == (
        "input 'b': expected the values of float32 in tensor_content or float_val, got tensor_content and float_val"
    )


def test_a_thousand_violations_are_cut_and_counted(caller: Caller):
    request = oip.ModelInferRequest(model_name="two", raw_input_contents=[bytes(4)] * 1000)
    for i in range(1000):
        request.inputs.add(name=f"not an input {i}", datatype="FP32", shape=[1, 1])
    error = caller.refusal(INFER, request)
    assert error is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "more violations" in (error.details() or "")
    assert "more violations" in violations(error)[-1][1]


def random_infer(chance: random.Random) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name=chance.choice(["two", "two", "echo_string", "scalar", "echo_bool"]))
    for _ in range(chance.randrange(5)):
        tensor = request.inputs.add(
            name=chance.choice(["a", "b", "x", "", "a\0", "\u202e", "a" * 3000]),
            datatype=chance.choice(["FP32", "FP32", "BYTES", "BOOL", "FP16", "INT8", "BF16", "", "fp32", "\0"]),
            shape=[chance.choice(SIZES) for _ in range(chance.randrange(4))],
        )
        if chance.random() < 0.2:
            tensor.contents.fp32_contents.extend([1.0] * chance.randrange(4))
        if chance.random() < 0.2:
            tensor.contents.int_contents.extend([2**31 - 1] * chance.randrange(4))
        if chance.random() < 0.05:
            tensor.parameters["shared_memory_region"].string_param = "region"
    for _ in range(chance.choice([0, len(request.inputs), len(request.inputs), 2])):
        request.raw_input_contents.append(chance.randbytes(chance.choice([0, 1, 4, 5, 12, 24])))
    if chance.random() < 0.1:
        request.parameters["timeout"].int64_param = chance.choice(SIZES[:2])
    return request


def random_predict(chance: random.Random) -> tfs.PredictRequest:
    request = tfs.PredictRequest()
    request.model_spec.name = chance.choice(["two", "two", "echo_string", "scalar", "echo_bool"])
    for _ in range(chance.randrange(4)):
        tensor = request.inputs[chance.choice(["a", "b", "x", "", "a\0", "a" * 3000])]
        tensor.dtype = chance.choice([1, 1, 7, 10, 19, 0, 20, 999])  # type: ignore[assignment]
        for _ in range(chance.randrange(4)):
            tensor.tensor_shape.dim.add(size=chance.choice(SIZES))
        tensor.tensor_shape.unknown_rank = chance.random() < 0.05
        if chance.random() < 0.4:
            tensor.tensor_content = chance.randbytes(chance.choice([1, 4, 24]))
        if chance.random() < 0.6:
            tensor.float_val.extend([1.0] * chance.choice([1, 1, 2, 6]))
        if chance.random() < 0.2:
            tensor.string_val.extend([b"\0"] * chance.randrange(3))
    return request


def test_strings_that_are_no_utf_8_are_refused_and_not_taken_for_a_fault_of_the_model(caller: Caller):
    strings = np.array([[b"a", b"b", b"c", b"\xff\xfe"]], object)
    infer = oip.ModelInferRequest(model_name="echo_string", raw_input_contents=[encode_raw(strings)])
    infer.inputs.add(name="x", datatype="BYTES", shape=strings.shape)
    predict = tfs.PredictRequest()
    predict.model_spec.name = "echo_string"
    predict.inputs["x"].CopyFrom(tensor_proto.encode(strings))
    for path, request in ((INFER, infer), (PREDICT, predict)):
        error = caller.refusal(path, request)
        assert error is not None
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        ((field, description),) = violations(error)
        assert field == "x"
        assert description.endswith("got the byte 0xff in the string at [0, 3]")


def test_one_value_for_a_whole_shape_is_answered(caller: Caller):
    predict = tfs.PredictRequest()
    predict.model_spec.name = "two"
    for name, value in (("a", 1.0), ("b", 2.0)):
        tensor = predict.inputs[name]
        tensor.CopyFrom(tensor_proto.encode(np.array(value, np.float32)))
        for size in (5, 3):
            tensor.tensor_shape.dim.add(size=size)
    answer = caller.ask(PREDICT, predict, tfs.PredictResponse)
    assert tensor_proto.decode(answer.outputs["total"]).tolist() == [[9.0] * 3] * 5


MANY = 5000


def many_predicts() -> dict[str, tfs.PredictRequest]:
    requests = {
        "inputs": tfs.PredictRequest(inputs={str(i): tensor_proto.encode(np.zeros(0)) for i in range(MANY)}),
        "output_filter": tfs.PredictRequest(output_filter=["total"] * MANY),
    }
    for request in requests.values():
        request.model_spec.name = "two"
    return requests


def many_infers() -> dict[str, oip.ModelInferRequest]:
    Input, Output = oip.ModelInferRequest.InferInputTensor, oip.ModelInferRequest.InferRequestedOutputTensor  # noqa: N806 (types)
    return {
        "inputs": oip.ModelInferRequest(model_name="two", inputs=[Input()] * MANY),
        "outputs": oip.ModelInferRequest(model_name="two", outputs=[Output()] * MANY),
        "raw_input_contents": oip.ModelInferRequest(model_name="two", raw_input_contents=[b""] * MANY),
    }


def test_absurdly_many_tensors_are_refused_before_each_is_looked_at(caller: Caller):
    for path, requests in ((INFER, many_infers()), (PREDICT, many_predicts())):
        for field, request in requests.items():
            assert violations(caller.refusal(path, request)) == [(field, f"{field}: expected at most 4096, got {MANY}")]


@pytest.mark.parametrize("seed", range(3))
def test_random_requests_are_answered_or_refused(caller: Caller, seed: int):
    chance = random.Random(seed)  # noqa: S311 (fuzz, not secrets)
    outcomes: dict[str, int] = {}
    for _ in range(400):
        path, request = chance.choice([(INFER, random_infer), (PREDICT, random_predict)])
        error = caller.refusal(path, request(chance), timeout_s=5)
        assert error is None or error.code() in OURS, error
        name = "OK" if error is None else error.code().name
        outcomes[name] = outcomes.get(name, 0) + 1
    assert outcomes["INVALID_ARGUMENT"] > 200


@pytest.mark.parametrize("seed", range(3))
def test_requests_with_broken_bytes_are_answered_or_refused(caller: Caller, seed: int):
    chance = random.Random(seed)  # noqa: S311
    array = np.ones((1, 3), np.float32)
    infer = oip.ModelInferRequest(model_name="two", raw_input_contents=[array.tobytes()] * 2)
    predict = tfs.PredictRequest()
    predict.model_spec.name = "two"
    for name in "ab":
        infer.inputs.add(name=name, datatype="FP32", shape=[1, 3])
        predict.inputs[name].CopyFrom(tensor_proto.encode(array))
    for _ in range(400):
        path, request = chance.choice([(INFER, infer), (PREDICT, predict)])
        data = bytearray(request.SerializeToString())
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        cut = chance.choice([len(data), len(data), chance.randrange(len(data))])
        error = caller.refusal(path, bytes(data[:cut]), timeout_s=5)
        assert error is None or error.code() in OURS, error
