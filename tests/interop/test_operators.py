"""Operators with the peers' own clients, against a server that takes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import Run
from tests.services.bundles import identity, publish, two_output
from tests.services.server_process import ServerProcess, running_server

pytestmark = pytest.mark.timeout(900)  # making the environment may download TensorFlow


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    for scale in (1, 2, 3):
        publish(two_output(scale), models, "two")
    publish(identity(), models, "identity")
    return models


@pytest.fixture
def server(repository: Path) -> Iterator[ServerProcess]:
    with running_server(repository, "--allow-admin", "on") as running:
        yield running


def test_tritons_client_loads_and_unloads(run_program: Run, server: ServerProcess):
    found = run_program("triton_operator.py", server.grpc)
    everything = {"identity/1": "READY", "two/1": "READY", "two/2": "READY", "two/3": "READY"}
    assert found["at first"] == found["loaded"] == everything
    assert found["unloaded"] == {"identity/1": "READY"}
    assert found["refusal"] == [
        "StatusCode.INVALID_ARGUMENT",
        "parameter 'config' is not served: a bundle is served as it is",
    ]


def test_tensorflow_servings_configuration_is_understood(run_program: Run, server: ServerProcess, repository: Path):
    found = run_program("tensorflow_serving_operator.py", server.grpc, repository)
    assert (found["error_code"], found["stable"], found["canary"]) == (0, [[1, 30]], [[2, 30]])
    assert found["refusal"] == [
        "INVALID_ARGUMENT",
        f"model 'two': expected the base_path {repository}/two, got '/elsewhere'",
    ]
    assert {model["name"] for model in server.get("/readyz").json()["models"]} == {"two"}
