"""Which artifact of a bundle the server takes, and what it asks of a quantized one before it serves it."""

from pathlib import Path

import pytest

from kedge_server.loading import LoadFailed, Place, prepare
from kedge_server.session import Options
from tests.services.quantized_bundles import two_with_int8
from tests.services.server_process import running_server, started_server

INT8 = Options(format="onnx-int8", device="cpu", instances=1)


def place(repository: Path) -> Place:
    return Place("two", 1, repository / "two" / "1")


def test_auto_never_takes_a_quantized_artifact(tmp_path: Path) -> None:
    two_with_int8(tmp_path)
    assert prepare(place(tmp_path), Options(device="cpu", instances=1)).artifact.name == "onnx"


def test_it_is_taken_by_its_name_and_tested_against_its_own_answers(tmp_path: Path) -> None:
    two_with_int8(tmp_path, scale=2.1)  # five percent from Keras
    found = prepare(place(tmp_path), INT8)
    assert found.artifact.name == "onnx-int8"
    assert (found.report.format, found.report.verdict) == ("onnx-int8", "bit-exact")


def test_one_that_answers_otherwise_than_it_did_is_not_served(tmp_path: Path) -> None:
    two_with_int8(tmp_path, scale=2.1, answers_scale=2.3)
    with pytest.raises(LoadFailed, match=r"onnx-int8 does not answer as it did when it was judged: case 'case0'"):
        prepare(place(tmp_path), INT8)


def test_one_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    two_with_int8(tmp_path)
    with started_server(tmp_path, "--format", "tflite-int8") as server:
        event = server.event("model_failed")
        assert "no tflite-int8 in this bundle; it has onnx, onnx-int8" in event["error"]


def test_log_page_and_metric_say_which_one_answers(tmp_path: Path) -> None:
    two_with_int8(tmp_path)
    with running_server(tmp_path, "--format", "onnx-int8") as server:
        assert server.event("model_loaded")["format"] == "onnx-int8"
        assert server.get("/readyz").json()["models"][0]["format"] == "onnx-int8"
        assert [labels["format"] for labels, _ in server.samples("kedge_model_info")] == ["onnx-int8"]
