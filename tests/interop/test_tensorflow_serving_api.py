from typing import Any

import pytest

from kedge_server.pb import tensor_pb2, tensorflow_serving_pb2
from tests.interop.conftest import Run
from tests.interop.messages import Field, Protos

pytestmark = pytest.mark.timeout(900)  # making the environment may download TensorFlow

TOTAL = [[0.0, 6.0, 12.0], [18.0, 24.0, 30.0]]
OUR_PACKAGE, THEIR_PACKAGE = "tensorflow.serving.", "tensorflow."
MOVED = ("DataType", "TensorShapeProto", "TensorProto", "TensorInfo", "SignatureDef")
"""TensorFlow's own messages, which ours cannot share a name with in one process."""


@pytest.fixture(scope="module")
def found(run_client: Run) -> dict[str, Any]:
    return run_client("tensorflow_serving_client.py")


def test_every_dtype_comes_back_as_it_went(found: dict[str, Any]):
    assert len(found["echoes"]) == 9
    assert all(found["echoes"].values()), found["echoes"]


def test_it_reads_our_answers(found: dict[str, Any]):
    spec = {"name": "two", "signatureName": "serving_default"}
    assert found["answers"] == {
        "total": TOTAL,
        "float_val": [0.0] * 6,
        "spec": {**spec, "version": "2"},
        "first_spec": {**spec, "version": "1"},
        "first_outputs": ["difference"],
        "typed": [[9.0] * 3] * 2,
        "future": TOTAL,
    }


def test_it_reads_our_descriptions(found: dict[str, Any]):
    described = found["descriptions"]
    assert described["unpacked"] is True
    assert described["spec"] == {"name": "two", "version": "2"}
    signature = described["signatures"]["signatureDef"]["serving_default"]
    shape = {"dim": [{"size": "-1"}, {"size": "3"}]}
    tensors = {name: {"name": name, "dtype": "DT_FLOAT", "tensorShape": shape} for name in ("a", "b")}
    assert signature["inputs"] == tensors
    assert set(signature["outputs"]) == {"total", "difference"}
    assert signature["methodName"] == "tensorflow/serving/predict"
    assert described["status"] == {
        "two": [[2, "AVAILABLE", 0, False], [1, "AVAILABLE", 0, False]],
        "broken": [[1, "END", 13, True]],
    }


def test_it_reads_our_refusals(found: dict[str, Any]):
    refusals = found["refusals"]
    assert {name: code for name, (code, _) in refusals.items()} == {
        "unknown model": "NOT_FOUND",
        "no model": "INVALID_ARGUMENT",
        "unknown version": "NOT_FOUND",
        "unknown label": "NOT_FOUND",
        "unknown signature": "NOT_FOUND",
        "wrong inputs": "INVALID_ARGUMENT",
        "unknown dtype": "INVALID_ARGUMENT",
        "late": "DEADLINE_EXCEEDED",
        "classify": "UNIMPLEMENTED",
        "regress": "UNIMPLEMENTED",
        "reload": "PERMISSION_DENIED",
    }
    assert refusals["wrong inputs"][1].count("input '") == 4, refusals["wrong inputs"]


def test_our_messages_are_tensorflows_on_the_wire(found: dict[str, Any]):
    theirs = Protos.of_base64(found["protos"])
    ours = Protos.of(each.DESCRIPTOR.serialized_pb for each in (tensorflow_serving_pb2, tensor_pb2))
    assert ours.methods == theirs.methods
    for name, fields in ours.messages.items():
        renamed = {number: _renamed(field) for number, field in fields.items()}
        assert renamed.items() <= theirs.messages[_their_name(name)].items(), name
    status_codes = ours.enums.pop("tensorflow.serving.StatusProto.Code")
    assert status_codes == {"OK": 0, "INTERNAL": 13, "UNAVAILABLE": 14}
    for name, values in ours.enums.items():
        assert values.items() <= theirs.enums[_their_name(name)].items(), name
    assert len(ours.messages) > 25


def _their_name(name: str) -> str:
    local = name.removeprefix(OUR_PACKAGE)
    if name == "tensorflow.serving.StatusProto.Code":
        return "tensorflow.error.Code"
    return THEIR_PACKAGE + local if local.partition(".")[0] in MOVED else name


def _renamed(field: Field) -> Field:
    name, kind, is_repeated, type_name = field
    return name, kind, is_repeated, _their_name(type_name)
