"""Labels stand for versions in every call of both protocols that names a version."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, ClientError, Protocol
from kedge_server.pb import open_inference_pb2 as oip
from kedge_server.pb import tensorflow_serving_pb2 as tfs
from kedge_server.pb.tensor_pb2 import DT_FLOAT, TensorProto, TensorShapeProto
from kedge_server.query import main as query
from tests.server.wire.served import MODEL_SERVICE, OPEN_INFERENCE, PREDICTION, Caller
from tests.services.bundles import publish, two_output
from tests.services.server_process import ServerProcess, running_server

ONES = np.ones((1, 3), np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("models")
    for scale in (1, 2, 3):
        publish(two_output(scale), repository, "two")
    labels = "two:stable=1,two:canary=2,two:next=9"
    with running_server(repository, "--labels", labels) as running:
        yield running


@pytest.fixture(scope="module")
def caller(server: ServerProcess) -> Iterator[Caller]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield Caller(channel)


def spec(label: str) -> tfs.ModelSpec:
    return tfs.ModelSpec(name="two", version_label=label)


def predict_request(label: str) -> tfs.PredictRequest:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in ONES.shape])
    tensor = TensorProto(dtype=DT_FLOAT, tensor_shape=shape, tensor_content=ONES.tobytes())
    return tfs.PredictRequest(model_spec=spec(label), inputs={"a": tensor, "b": tensor})


def infer_request(version: str) -> oip.ModelInferRequest:
    inputs = [oip.ModelInferRequest.InferInputTensor(name=name, datatype="FP32", shape=ONES.shape) for name in "ab"]
    return oip.ModelInferRequest(
        model_name="two", model_version=version, inputs=inputs, raw_input_contents=[ONES.tobytes()] * 2
    )


def test_predict_takes_a_label_and_names_the_version_that_answered(caller: Caller):
    for label, version in (("stable", 1), ("canary", 2)):
        response = caller.ask(f"{PREDICTION}Predict", predict_request(label), tfs.PredictResponse)
        assert response.model_spec.version.value == version
        assert list(response.outputs["total"].float_val) == [2.0 * version] * 3


def test_a_model_version_that_is_no_number_is_a_label(caller: Caller):
    for label, version in (("stable", 1), ("canary", 2), ("2", 2), ("", 3)):
        response = caller.ask(f"{OPEN_INFERENCE}ModelInfer", infer_request(label), oip.ModelInferResponse)
        assert response.model_version == str(version)


def test_descriptions_take_labels(caller: Caller):
    request = tfs.GetModelMetadataRequest(model_spec=spec("stable"), metadata_field=["signature_def"])
    described = caller.ask(f"{PREDICTION}GetModelMetadata", request, tfs.GetModelMetadataResponse)
    assert described.model_spec.version.value == 1
    status_request = tfs.GetModelStatusRequest(model_spec=spec("canary"))
    status = caller.ask(f"{MODEL_SERVICE}GetModelStatus", status_request, tfs.GetModelStatusResponse)
    assert [each.version for each in status.model_version_status] == [2]
    named = {"name": "two", "version": "stable"}
    ready = caller.ask(f"{OPEN_INFERENCE}ModelReady", oip.ModelReadyRequest(**named), oip.ModelReadyResponse)
    assert ready.ready
    statistics = caller.ask(
        f"{OPEN_INFERENCE}ModelStatistics", oip.ModelStatisticsRequest(**named), oip.ModelStatisticsResponse
    )
    assert [each.version for each in statistics.model_stats] == ["1"]
    for method, request_type, response_type in (
        ("ModelMetadata", oip.ModelMetadataRequest, oip.ModelMetadataResponse),
        ("ModelConfig", oip.ModelConfigRequest, oip.ModelConfigResponse),
    ):
        asked: Any = request_type(**named)
        caller.ask(f"{OPEN_INFERENCE}{method}", asked, response_type)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_our_client_takes_a_label_for_a_version(server: ServerProcess, protocol: Protocol):
    with Client(server.grpc, protocol) as client:
        assert client.ask("two", {"a": ONES, "b": ONES}, version="canary").version == 2
        assert client.is_ready("two", version="stable")
        assert client.metadata("two", version="stable").name == "two"
        with pytest.raises(ClientError, match="has no label 'beta'"):
            client.ask("two", {"a": ONES, "b": ONES}, version="beta")
    arguments = [server.grpc, "two", "--json", '{"a": [[1, 1, 1]], "b": [[1, 1, 1]]}', "--protocol", protocol]
    assert query([*arguments, "--version", "stable"]) == 0


@pytest.mark.parametrize(
    ("label", "code", "sentence"),
    [
        ("beta", "NOT_FOUND", "model 'two' has no label 'beta'; it has canary, next, stable"),
        ("next", "UNAVAILABLE", "label 'next' of model 'two' is for version 9, which is not ready"),
    ],
)
def test_labels_that_name_nothing_say_so_on_both_protocols(caller: Caller, label: str, code: str, sentence: str):
    for path, request in (
        (f"{PREDICTION}Predict", predict_request(label)),
        (f"{OPEN_INFERENCE}ModelInfer", infer_request(label)),
        (f"{MODEL_SERVICE}GetModelStatus", tfs.GetModelStatusRequest(model_spec=spec(label))),
        (f"{OPEN_INFERENCE}ModelReady", oip.ModelReadyRequest(name="two", version=label)),
    ):
        error = caller.refusal(path, request)
        assert error is not None, path
        assert (error.code().name, error.details()) == (code, sentence), path
