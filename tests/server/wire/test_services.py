"""Which services there are: refusals with a sentence, reflection, health over the wire."""

import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from kedge_server.pb import open_inference_pb2, tensorflow_serving_pb2
from tests.server.wire.served import HEALTH, Caller
from tests.services.bundles import identity, publish
from tests.services.server_process import running_server

REFUSED = {
    "Classify", "Regress", "MultiInference", "TraceSetting", "LogSettings",
    "SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister",
}  # fmt: skip
FOR_OPERATORS = {"HandleReloadConfigRequest", "RepositoryModelLoad", "RepositoryModelUnload"}
METHODS = [
    method
    for module in (open_inference_pb2, tensorflow_serving_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def reflected(channel: grpc.Channel, **request: str) -> ServerReflectionResponse:
    call = channel.stream_stream(
        REFLECTION,
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    (response,) = call(iter([ServerReflectionRequest(**request)]), timeout=20)
    return response


def watch(channel: grpc.Channel, service: str) -> Iterator[str]:
    call = channel.unary_stream(f"{HEALTH}Watch", response_deserializer=HealthCheckResponse.FromString)
    for response in call(HealthCheckRequest(service=service).SerializeToString(), timeout=60):
        yield HealthCheckResponse.ServingStatus.Name(response.status)


@pytest.mark.parametrize("method", [m for m in METHODS if m.name in REFUSED], ids=lambda m: m.name)
def test_what_is_not_answered_says_what_to_use_instead(caller: Caller, method):  # noqa: ANN001 (upb's own type)
    path = f"/{method.containing_service.full_name}/{method.name}"
    error = caller.refusal(path, b"")
    assert error is not None
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert ": " in (error.details() or "")


def test_every_other_method_is_answered(caller: Caller):
    for method in METHODS:
        if method.name not in REFUSED | FOR_OPERATORS and not method.client_streaming:
            error = caller.refusal(f"/{method.containing_service.full_name}/{method.name}", b"")
            assert error is None or error.code() is grpc.StatusCode.INVALID_ARGUMENT, method.full_name
    assert len(METHODS) == 27


def test_reflection_lists_and_describes_every_service(caller: Caller):
    listed = {each.name for each in reflected(caller.channel, list_services="").list_services_response.service}
    assert listed == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    }
    for name in listed:
        described = reflected(caller.channel, file_containing_symbol=name).file_descriptor_response
        packages = [FileDescriptorProto.FromString(data).package for data in described.file_descriptor_proto]
        assert name.rpartition(".")[0] in packages


def test_health_over_the_wire(caller: Caller):
    def check(service: str) -> str:
        request = HealthCheckRequest(service=service)
        status = caller.ask(f"{HEALTH}Check", request, HealthCheckResponse).status
        return HealthCheckResponse.ServingStatus.Name(status)

    assert {check(name) for name in ("", "two", "two/1", "two/2", "inference.GRPCInferenceService")} == {"SERVING"}
    assert check("broken") == "NOT_SERVING"
    error = caller.refusal(f"{HEALTH}Check", HealthCheckRequest(service="nobody"))
    assert error is not None
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert next(watch(caller.channel, "nobody")) == "SERVICE_UNKNOWN"


def test_a_watcher_hears_of_the_drain_and_does_not_hold_it_up(tmp_path: Path):
    publish(identity(), tmp_path, "m")
    with running_server(tmp_path, "--drain-timeout-s", "30", "--reflection", "off") as server:
        with grpc.insecure_channel(server.grpc) as channel:
            statuses, model = watch(channel, ""), watch(channel, "m")
            assert [next(statuses), next(model)] == ["SERVING", "SERVING"]
            with pytest.raises(grpc.RpcError) as caught:
                reflected(channel, list_services="")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            server.send(signal.SIGTERM)
            assert [*statuses, *model] == ["NOT_SERVING", "NOT_SERVING"]
        assert server.wait(10) == 0
