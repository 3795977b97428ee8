"""What an operator does with TensorFlow Serving's messages: prints what it found as JSON. Runs in `.venv-interop`."""

import json
import sys
from typing import Any

import grpc
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

TIMEOUT_S = 60.0

CONFIG = """
model_config_list {{
  config {{
    name: "two"
    base_path: "{repository}/two"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""
"""A model_config_file as people have it."""


def statuses(stub: Any, label: str) -> list[Any]:  # noqa: ANN401 (generated without types)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "two"
    request.model_spec.version_label = label
    response = stub.GetModelStatus(request, timeout=TIMEOUT_S)
    return [[each.version, each.state] for each in response.model_version_status]


def main() -> None:
    address, repository = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        config = text_format.Parse(CONFIG.format(repository=repository), model_server_config_pb2.ModelServerConfig())
        request = model_management_pb2.ReloadConfigRequest(config=config)
        answer = stub.HandleReloadConfigRequest(request, timeout=TIMEOUT_S)
        found: dict[str, Any] = {
            "error_code": answer.status.error_code,
            "stable": statuses(stub, "stable"),
            "canary": statuses(stub, "canary"),
        }
        config.model_config_list.config[0].base_path = "/elsewhere"
        try:
            stub.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=config), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            found["refusal"] = [error.code().name, error.details()]
    print(json.dumps(found))  # noqa: T201 (the test reads it)


main()
