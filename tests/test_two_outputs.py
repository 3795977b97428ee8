"""One input, a shared layer, two outputs: the same names in the same places, from every format, by every protocol."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.store import open_bundle
from kedge_server.client import Client
from tests.services.server_process import ServerProcess, running_server

FORMATS = ("saved_model", "tflite", "onnx")


@pytest.fixture(scope="module", params=FORMATS)
def server(request: pytest.FixtureRequest, two_outputs: Path) -> Iterator[ServerProcess]:
    with running_server(two_outputs.parents[1], "--format", request.param) as running:
        yield running
        assert running.stop() == 0


@pytest.mark.parametrize("protocol", ["tensorflow-serving", "open-inference"])
def test_both_outputs_come_back_under_their_keras_names(server: ServerProcess, two_outputs: Path, protocol: str):
    with Client(server.grpc, protocol=protocol) as client:
        metadata = client.metadata("two_outputs")
        assert [tensor.name for tensor in metadata.inputs] == ["pixel_input"]
        assert {tensor.name: tensor.shape for tensor in metadata.outputs} == {
            "classifier": (None, 10),
            "reconstruction": (None, 784),
        }
        for case in open_bundle(two_outputs).golden:
            answer = client.predict("two_outputs", case.inputs)
            assert set(answer) == {"classifier", "reconstruction"}
            for name, expected in case.outputs.items():
                np.testing.assert_allclose(answer[name], expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("protocol", ["tensorflow-serving", "open-inference"])
def test_one_output_can_be_asked_for_alone(server: ServerProcess, protocol: str):
    with Client(server.grpc, protocol=protocol) as client:
        answer = client.predict(
            "two_outputs", {"pixel_input": np.zeros((3, 784), np.float32)}, outputs=["reconstruction"]
        )
    assert {name: array.shape for name, array in answer.items()} == {"reconstruction": (3, 784)}
