"""Drives a server with the unmodified tensorflow-serving-api and prints what it found out, as one line of JSON.

Runs in `.venv-interop`. One program for everything, because importing TensorFlow takes seconds.
Usage: tensorflow_serving_client.py HOST:PORT
"""

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
    status_pb2,
)
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

DTYPES = ("bool", "uint8", "int32", "int64", "float16", "float32", "float64", "string")
PROTOS = (
    model_pb2, predict_pb2, get_model_metadata_pb2, get_model_status_pb2, classification_pb2, regression_pb2,
    inference_pb2, model_management_pb2, model_service_pb2, prediction_service_pb2, status_pb2,
    tensor_pb2, tensor_shape_pb2, types_pb2, meta_graph_pb2,
    model_server_config_pb2, file_system_storage_path_source_pb2,
)  # fmt: skip
TWO = np.arange(6, dtype=np.float32).reshape(2, 3)
TIMEOUT_S = 20


class Clients:
    """Both services' stubs."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, request: predict_pb2.PredictRequest, timeout_s: float = TIMEOUT_S) -> predict_pb2.PredictResponse:
        return self.prediction.Predict(request, timeout=timeout_s)


def request_for(model: str, **inputs: np.ndarray) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return request


def refusal(call: Callable[[], object]) -> list[str]:
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return ["OK", ""]


def echoes(clients: Clients) -> dict[str, bool]:
    found = {}
    for dtype in DTYPES:
        numbers = np.array([[0, 1, 2, 3], [4, 5, 6, 255]])
        strings = np.array([[b"", b"a\0b", "grüße".encode(), b"x" * 9000]] * 2, object)
        sent = strings if dtype == "string" else numbers.astype(dtype)
        came = tf.make_ndarray(clients.predict(request_for(f"echo_{dtype}", x=sent)).outputs["y"])
        found[dtype] = came.dtype == sent.dtype and came.tolist() == sent.tolist()
    came = tf.make_ndarray(clients.predict(request_for("scalar", x=np.array(2.5, np.float32))).outputs["y"])
    found["scalar"] = came.shape == () and came == np.float32(2.5)
    return {name: bool(value) for name, value in found.items()}


def answers(clients: Clients) -> dict[str, Any]:
    latest = clients.predict(request_for("two", a=TWO, b=TWO))
    first = request_for("two", a=TWO, b=TWO)
    first.model_spec.version.value = 1
    first.model_spec.signature_name = "serving_default"
    first.output_filter.append("difference")
    typed = predict_pb2.PredictRequest()
    typed.model_spec.name = "two"
    for name in "ab":
        tensor = typed.inputs[name]
        tensor.dtype = types_pb2.DT_FLOAT
        tensor.tensor_shape.dim.add(size=2)
        tensor.tensor_shape.dim.add(size=3)
        tensor.float_val.append(1.5)  # one value, which fills the shape
    later = clients.prediction.Predict.future(request_for("two", a=TWO, b=TWO), timeout=TIMEOUT_S).result()
    answered_first = clients.predict(first)
    return {
        "total": tf.make_ndarray(latest.outputs["total"]).tolist(),
        "float_val": list(latest.outputs["difference"].float_val),
        "spec": json_format.MessageToDict(latest.model_spec),
        "first_spec": json_format.MessageToDict(answered_first.model_spec),
        "first_outputs": list(answered_first.outputs),
        "typed": tf.make_ndarray(clients.predict(typed).outputs["total"]).tolist(),
        "future": tf.make_ndarray(later.outputs["total"]).tolist(),
    }


def descriptions(clients: Clients) -> dict[str, Any]:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "two"
    metadata = clients.prediction.GetModelMetadata(request, timeout=TIMEOUT_S)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    unpacked = metadata.metadata["signature_def"].Unpack(signatures)
    return {
        "unpacked": unpacked,
        "spec": json_format.MessageToDict(metadata.model_spec),
        "signatures": json_format.MessageToDict(signatures),
        "status": {name: status_of(clients, name) for name in ("two", "broken")},
    }


def status_of(clients: Clients, name: str) -> list[Any]:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    response = clients.model.GetModelStatus(request, timeout=TIMEOUT_S)
    state = get_model_status_pb2.ModelVersionStatus.State.Name
    return [
        [each.version, state(each.state), each.status.error_code, bool(each.status.error_message)]
        for each in response.model_version_status
    ]


def refusals(clients: Clients) -> dict[str, list[str]]:
    def spec(**fields: object) -> predict_pb2.PredictRequest:
        request = request_for("two", a=TWO, b=TWO)
        request.model_spec.MergeFrom(model_pb2.ModelSpec(**fields))
        return request

    version = {"version": {"value": 7}}
    examples = classification_pb2.ClassificationRequest(model_spec=model_pb2.ModelSpec(name="two"))
    examples.input.example_list.examples.add()
    slow = request_for("slow", x=np.zeros((1000, 1024), np.float32))
    return {
        "unknown model": refusal(lambda: clients.predict(request_for("nobody"))),
        "no model": refusal(lambda: clients.predict(predict_pb2.PredictRequest())),
        "unknown version": refusal(lambda: clients.predict(spec(**version))),
        "unknown label": refusal(lambda: clients.predict(spec(version_label="canary"))),
        "unknown signature": refusal(lambda: clients.predict(spec(signature_name="classify"))),
        "wrong inputs": refusal(lambda: clients.predict(request_for("two", a=np.zeros((1, 4)), c=TWO))),
        "unknown dtype": refusal(lambda: clients.predict(request_for("two", a=TWO, b=TWO.astype(np.complex64)))),
        "late": refusal(lambda: clients.predict(slow, timeout_s=0.02)),
        "classify": refusal(lambda: clients.prediction.Classify(examples, timeout=TIMEOUT_S)),
        "regress": refusal(lambda: clients.prediction.Regress(regression_pb2.RegressionRequest(), timeout=TIMEOUT_S)),
        "reload": refusal(
            lambda: clients.model.HandleReloadConfigRequest(
                model_management_pb2.ReloadConfigRequest(), timeout=TIMEOUT_S
            )
        ),
    }


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        clients = Clients(channel)
        found = {
            "echoes": echoes(clients),
            "answers": answers(clients),
            "descriptions": descriptions(clients),
            "refusals": refusals(clients),
            "protos": [base64.b64encode(each.DESCRIPTOR.serialized_pb).decode() for each in PROTOS],
        }
    print(json.dumps(found))  # noqa: T201 (its answer)


if __name__ == "__main__":
    main()
