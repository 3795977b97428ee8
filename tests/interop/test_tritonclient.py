from typing import Any

import pytest

from kedge_server.pb import model_config_pb2, open_inference_pb2
from tests.interop.conftest import Run
from tests.interop.messages import Protos

pytestmark = pytest.mark.timeout(900)  # making the environment may download TensorFlow

TOTAL = [[0.0, 6.0, 12.0], [18.0, 24.0, 30.0]]


@pytest.fixture(scope="module")
def found(run_client: Run) -> dict[str, Any]:
    return run_client("triton_client.py")


def test_every_dtype_comes_back_as_it_went(found: dict[str, Any]):
    assert len(found["echoes"]) == 9
    assert all(found["echoes"].values()), found["echoes"]


def test_it_reads_our_answers(found: dict[str, Any]):
    assert found["answers"] == {
        "total": TOTAL,
        "difference": [[0.0] * 3] * 2,
        "id": "7 of 9",
        "version": "2",
        "outputs": ["total", "difference"],
        "first_version": "1",
        "first_outputs": ["difference"],
        "packed": TOTAL,
        "async": TOTAL,
        "async_error": None,
    }


def test_it_reads_our_descriptions(found: dict[str, Any]):
    described = found["descriptions"]
    assert [described[key] for key in ("live", "ready", "model_ready", "version_ready")] == [True] * 4
    assert described["broken_ready"] is False
    assert described["server"]["extensions"] == ["binary_tensor_data", "model_configuration", "statistics"]
    assert described["metadata"]["versions"] == ["1", "2"]
    assert described["metadata"]["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": ["-1", "3"]}
    assert {(each["name"], each.get("state")) for each in described["index"]["models"]} > {
        ("two", "READY"),
        ("broken", "UNAVAILABLE"),
    }


def test_it_reads_what_load_generators_need(found: dict[str, Any]):
    """perf_analyzer wants metadata and configuration to agree, and statistics that count."""
    described = found["descriptions"]
    config, metadata = described["config"]["config"], described["metadata"]
    assert config["max_batch_size"] > 0
    for tensor, configured in zip(metadata["inputs"], config["input"], strict=True):
        assert tensor["name"] == configured["name"]
        assert tensor["shape"] == ["-1", *configured["dims"]]
        assert configured["data_type"] == "TYPE_FP32"
    assert "decoupled" not in config["model_transaction_policy"]
    latest = described["statistics"]["model_stats"][-1]
    assert int(latest["inference_count"]) >= int(latest["execution_count"]) > 0
    for phase in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert int(latest["inference_stats"][phase]["ns"]) > 0


def test_it_reads_our_refusals(found: dict[str, Any]):
    refusals = found["refusals"]
    assert {name: status.removeprefix("StatusCode.") for name, (status, _) in refusals.items()} == {
        "unknown model": "NOT_FOUND",
        "unknown version": "NOT_FOUND",
        "unknown output": "INVALID_ARGUMENT",
        "wrong inputs": "INVALID_ARGUMENT",
        "broken model": "UNAVAILABLE",
        "late": "DEADLINE_EXCEEDED",
        "sequence": "UNIMPLEMENTED",
        "classification": "INVALID_ARGUMENT",
        "load": "PERMISSION_DENIED",
        "unload": "PERMISSION_DENIED",
        "shared memory": "UNIMPLEMENTED",
        "cuda shared memory": "UNIMPLEMENTED",
        "trace": "UNIMPLEMENTED",
        "log": "UNIMPLEMENTED",
    }
    assert refusals["wrong inputs"][1].count("input '") == 4, refusals["wrong inputs"]


def test_it_reads_the_answers_of_a_stream_in_order(found: dict[str, Any]):
    answers = found["stream"]
    assert [number for number, _ in answers] == ["0", "1", "2", "", "4"]
    assert "NOT_FOUND: model 'nobody' is not here" in answers[3][1]
    assert len({value for number, value in answers if number}) == 1


def test_our_messages_are_tritons_on_the_wire(found: dict[str, Any]):
    theirs = Protos.of_base64(found["protos"])
    ours = Protos.of(each.DESCRIPTOR.serialized_pb for each in (open_inference_pb2, model_config_pb2))
    # The one field of the Open Inference Protocol that Triton lacks.
    properties = ours.messages["inference.ModelMetadataResponse"].pop(6)
    assert properties[0] == "properties"
    del ours.messages["inference.ModelMetadataResponse.PropertiesEntry"]
    assert ours.methods == theirs.methods
    for name, fields in ours.messages.items():
        assert fields.items() <= theirs.messages[name].items(), name
    for name, values in ours.enums.items():
        assert values.items() <= theirs.enums[name].items(), name
    assert len(ours.messages) > 60
