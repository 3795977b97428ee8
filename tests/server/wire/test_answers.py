"""What both protocols answer, through a real server process."""

import json
import time

import grpc
import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, ClientError, Protocol
from kedge_server.pb import open_inference_pb2 as oip
from kedge_server.pb import tensorflow_serving_pb2 as tfs
from kedge_server.wire.codec import tensor_proto
from kedge_server.wire.infer_call import InferParameter
from tests.server.wire.arrays import same
from tests.server.wire.served import DTYPES, MODEL_SERVICE, OPEN_INFERENCE, PREDICTION, Caller
from tests.services.server_process import ServerProcess

TWO = {name: np.arange(6, dtype=np.float32).reshape(2, 3) for name in "ab"}


def infer_two(**more: object) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="two", **more)  # type: ignore[arg-type]
    for name, array in TWO.items():
        request.inputs.add(name=name, datatype="FP32", shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request


def predict_two() -> tfs.PredictRequest:
    request = tfs.PredictRequest()
    request.model_spec.name = "two"
    for name, array in TWO.items():
        request.inputs[name].CopyFrom(tensor_proto.encode(array))
    return request


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_as_it_went(server: ServerProcess, protocol: Protocol, dtype: str):
    values = np.array([[0, 1, 2, 3], [4, 5, 6, 255]])
    strings = np.array([[b"", b"a\0", "grüße".encode(), b"x" * 9000]] * 2, object)
    array = strings if dtype == "string" else values.astype(dtype)
    with Client(server.grpc, protocol) as client:
        answer = client.ask(f"echo_{dtype}", {"x": array}, timeout_s=20)
    assert same(answer.outputs["y"], array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_scalar_comes_back_as_a_scalar(server: ServerProcess, protocol: Protocol):
    with Client(server.grpc, protocol) as client:
        assert same(client.predict("scalar", {"x": np.float32(2.5)}, timeout_s=20)["y"], np.array(2.5, np.float32))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_latest_version_answers_unless_another_is_asked_for(server: ServerProcess, protocol: Protocol):
    with Client(server.grpc, protocol) as client:
        for version, scale, echoed in ((None, 3, 2), (1, 2, 1), (2, 3, 2)):
            answer = client.ask("two", TWO, version=version, timeout_s=20)
            assert (answer.model, answer.version) == ("two", echoed)
            assert same(answer.outputs["total"], scale * (TWO["a"] + TWO["b"]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_only_the_outputs_that_are_asked_for_come_back(server: ServerProcess, protocol: Protocol):
    with Client(server.grpc, protocol) as client:
        assert list(client.predict("two", TWO, outputs=["difference"], timeout_s=20)) == ["difference"]
        assert set(client.predict("two", TWO, timeout_s=20)) == {"total", "difference"}
        with pytest.raises(ClientError, match="output 'sum': the model has no such output"):
            client.predict("two", TWO, outputs=["sum", "total"], timeout_s=20)


def test_outputs_come_in_the_signatures_order_and_the_id_is_echoed(caller: Caller):
    response = caller.ask(f"{OPEN_INFERENCE}ModelInfer", infer_two(id="7 of 9"), oip.ModelInferResponse)
    assert [output.name for output in response.outputs] == ["total", "difference"]
    assert response.id == "7 of 9"


def test_typed_contents_answer_as_raw_ones_do(caller: Caller):
    raw = infer_two()
    typed = infer_two()
    del typed.raw_input_contents[:]
    for tensor in typed.inputs:
        tensor.contents.fp32_contents.extend(TWO[tensor.name].ravel().tolist())
    path = f"{OPEN_INFERENCE}ModelInfer"
    assert caller.ask(path, typed, oip.ModelInferResponse) == caller.ask(path, raw, oip.ModelInferResponse)


def test_tensor_content_answers_as_typed_values_do(caller: Caller):
    typed = predict_two()
    content = predict_two()
    for name, array in TWO.items():
        content.inputs[name].ClearField("float_val")
        content.inputs[name].tensor_content = array.tobytes()
    path = f"{PREDICTION}Predict"
    assert caller.ask(path, content, tfs.PredictResponse) == caller.ask(path, typed, tfs.PredictResponse)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_inputs_unlike_training_are_told_in_trailing_metadata(caller: Caller, protocol: Protocol):
    array = np.array([[10.0, 1000.0]], np.float32)
    if protocol == "open-inference":
        request = oip.ModelInferRequest(model_name="sqrt", raw_input_contents=[array.tobytes()])
        request.inputs.add(name="x", datatype="FP32", shape=array.shape)
        _, trailing = caller.ask_with_trailing(f"{OPEN_INFERENCE}ModelInfer", request, oip.ModelInferResponse)
    else:
        predict = tfs.PredictRequest(inputs={"x": tensor_proto.encode(array)})
        predict.model_spec.name = "sqrt"
        _, trailing = caller.ask_with_trailing(f"{PREDICTION}Predict", predict, tfs.PredictResponse)
    told = json.loads(trailing["kedge-input-violations"])
    assert trailing["kedge-input-violation-count"] == str(len(told)) == "2"
    assert told[0] == {"input": "x", "feature": 1, "kind": "above-range", "value": 1000.0, "expected": "4 to 16"}
    assert told[1]["kind"] == "z-score"


def test_nothing_is_told_of_inputs_like_training(caller: Caller):
    _, trailing = caller.ask_with_trailing(f"{OPEN_INFERENCE}ModelInfer", infer_two(), oip.ModelInferResponse)
    assert not any(key.startswith("kedge-") for key in trailing)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_deadline_that_passes_is_told_in_time(server: ServerProcess, protocol: Protocol):
    started = time.monotonic()
    with Client(server.grpc, protocol) as client, pytest.raises(ClientError) as caught:
        client.predict("slow", {"x": np.zeros((1000, 1024), np.float32)}, timeout_s=0.05)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - started < 1


def test_the_timeout_parameter_is_a_deadline(caller: Caller):
    request = oip.ModelInferRequest(model_name="slow", raw_input_contents=[bytes(1000 * 1024 * 4)])
    request.parameters["timeout"].CopyFrom(InferParameter(int64_param=20_000))
    request.inputs.add(name="x", datatype="FP32", shape=[1000, 1024])
    error = caller.refusal(f"{OPEN_INFERENCE}ModelInfer", request)
    assert error is not None
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "the deadline" in (error.details() or "")


def test_tensorflow_serving_describes_the_signature(caller: Caller):
    request = tfs.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "two"
    response = caller.ask(f"{PREDICTION}GetModelMetadata", request, tfs.GetModelMetadataResponse)
    assert (response.model_spec.name, response.model_spec.version.value) == ("two", 2)
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signature = tfs.SignatureDefMap.FromString(packed.value).signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert {name: [dim.size for dim in info.tensor_shape.dim] for name, info in signature.inputs.items()} == {
        "a": [-1, 3],
        "b": [-1, 3],
    }
    assert {info.dtype for info in signature.outputs.values()} == {1}


@pytest.mark.parametrize(("fields", "came"), [([], "none"), (["saved_model"], "'saved_model'")])
def test_tensorflow_serving_has_one_kind_of_metadata(caller: Caller, fields: list[str], came: str):
    request = tfs.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = "two"
    error = caller.refusal(f"{PREDICTION}GetModelMetadata", request)
    assert error is not None
    assert (error.code().name, error.details()) == (
        "INVALID_ARGUMENT",
        f"metadata_field: expected 'signature_def', got {came}",
    )


def test_tensorflow_serving_tells_the_status_of_every_version(caller: Caller):
    def status(name: str, version: int | None = None) -> list[tuple[int, int, bool]]:
        request = tfs.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        response = caller.ask(f"{MODEL_SERVICE}GetModelStatus", request, tfs.GetModelStatusResponse)
        return [(s.version, s.state, bool(s.status.error_message)) for s in response.model_version_status]

    available, end = tfs.ModelVersionStatus.AVAILABLE, tfs.ModelVersionStatus.END
    assert status("two") == [(2, available, False), (1, available, False)]
    assert status("two", 1) == [(1, available, False)]
    assert status("broken") == [(1, end, True)]


def test_open_inference_describes_server_and_models(caller: Caller):
    ask = caller.ask
    assert ask(f"{OPEN_INFERENCE}ServerLive", b"", oip.ServerLiveResponse).live
    assert ask(f"{OPEN_INFERENCE}ServerReady", b"", oip.ServerReadyResponse).ready
    server = ask(f"{OPEN_INFERENCE}ServerMetadata", b"", oip.ServerMetadataResponse)
    assert (server.name, list(server.extensions)) == (
        "kedge",
        ["binary_tensor_data", "model_configuration", "statistics"],
    )
    assert server.version
    model = ask(f"{OPEN_INFERENCE}ModelMetadata", oip.ModelMetadataRequest(name="two"), oip.ModelMetadataResponse)
    assert (model.name, list(model.versions), model.platform) == ("two", ["1", "2"], "onnxruntime_onnx")
    assert [(each.name, each.datatype, list(each.shape)) for each in (*model.inputs, *model.outputs)] == [
        (name, "FP32", [-1, 3]) for name in ("a", "b", "total", "difference")
    ]
    assert model.properties["device"] == "cpu"


def test_open_inference_tells_which_models_are_ready(caller: Caller):
    def ready(name: str, version: str = "") -> bool:
        request = oip.ModelReadyRequest(name=name, version=version)
        return caller.ask(f"{OPEN_INFERENCE}ModelReady", request, oip.ModelReadyResponse).ready

    assert ready("two")
    assert ready("two", "1")
    assert not ready("broken")
    for request in (oip.ModelReadyRequest(name="nobody"), oip.ModelReadyRequest(name="two", version="3")):
        error = caller.refusal(f"{OPEN_INFERENCE}ModelReady", request)
        assert error is not None
        assert error.code() is grpc.StatusCode.NOT_FOUND


def test_the_index_has_every_version_and_its_state(caller: Caller):
    def index(*, ready: bool) -> dict[tuple[str, str], tuple[str, bool]]:
        request = oip.RepositoryIndexRequest(ready=ready)
        response = caller.ask(f"{OPEN_INFERENCE}RepositoryIndex", request, oip.RepositoryIndexResponse)
        return {(m.name, m.version): (m.state, bool(m.reason)) for m in response.models}

    everything = index(ready=False)
    assert everything["two", "1"] == everything["two", "2"] == ("READY", False)
    assert everything["broken", "1"] == ("UNAVAILABLE", True)
    assert index(ready=True) == {key: value for key, value in everything.items() if key[0] != "broken"}


def test_the_configuration_leaves_the_batch_axis_out_where_there_is_one(caller: Caller):
    def config(name: str) -> tuple[int, list[list[int]], bool]:
        request = oip.ModelConfigRequest(name=name)
        made = caller.ask(f"{OPEN_INFERENCE}ModelConfig", request, oip.ModelConfigResponse).config
        dims = [list(each.dims) for each in (*made.input, *made.output)]
        return made.max_batch_size, dims, made.HasField("dynamic_batching")

    assert config("two") == (1024, [[3]] * 4, True)
    assert config("scalar") == (0, [[], []], False)


def test_statistics_count_rows_batches_and_failures(caller: Caller):
    def statistics(name: str) -> list[oip.ModelStatistics]:
        request = oip.ModelStatisticsRequest(name=name)
        return list(caller.ask(f"{OPEN_INFERENCE}ModelStatistics", request, oip.ModelStatisticsResponse).model_stats)

    def latest() -> oip.ModelStatistics:
        return statistics("two")[-1]

    before = latest()
    caller.ask(f"{OPEN_INFERENCE}ModelInfer", infer_two(), oip.ModelInferResponse)
    assert caller.refusal(f"{OPEN_INFERENCE}ModelInfer", oip.ModelInferRequest(model_name="two")) is not None
    after = latest()
    assert after.inference_count - before.inference_count == 2
    assert after.execution_count - before.execution_count == 1
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert abs(after.last_inference / 1000 - time.time()) < 60
    assert [each.version for each in statistics("two")] == ["1", "2"]
    assert {"two", "scalar"} < {each.name for each in statistics("")}
    assert "broken" not in {each.name for each in statistics("")}
