"""What callers are told of their tensors by a real server: strayed inputs, values that are not finite, sizes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kedge_server.client import Client, ClientError
from tests.services.bundles import doubled, identity, publish, square_root
from tests.services.server_process import ServerProcess, running_server


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("models")
    publish(identity(), repository, "identity")
    publish(square_root(), repository, "root")
    return repository


@pytest.fixture
def server(models: Path) -> Iterator[ServerProcess]:
    with running_server(models) as running:
        yield running


def refusal(client: Client, model: str, x: object, timeout_s: float | None = 30) -> ClientError:
    with pytest.raises(ClientError) as caught:
        client.predict(model, {"x": x}, timeout_s=timeout_s)  # type: ignore[dict-item]
    return caught.value


def test_inputs_unlike_training_are_told_to_the_caller_and_counted(server: ServerProcess):
    with Client(server.grpc) as client:
        answer = client.ask("root", {"x": np.array([[10, 900]], np.float32)})
    assert {(strayed.feature, strayed.kind) for strayed in answer.warnings} == {(1, "above-range"), (1, "z-score")}
    assert server.metric("kedge_input_stat_violations_total", model="root", input="x", kind="z-score") == 1


def test_nan_rates_can_be_read_from_the_page(server: ServerProcess):
    with Client(server.grpc) as client:
        client.predict("root", {"x": np.array([[-10, 9], [10, 9]], np.float32)})
    assert server.metric("kedge_output_nonfinite_values_total", model="root", output="y", kind="nan") == 1
    assert server.metric("kedge_output_values_total", model="root", output="y") == 4


def test_the_policies_can_be_strict(models: Path):
    flags = ("--input-stats", "reject", "--nonfinite-outputs", "reject", "--nonfinite-inputs", "observe")
    with running_server(models / "root", *flags) as server, Client(server.grpc) as client:
        refused = refusal(client, "root", np.array([[10, 900]], np.float32))
        assert refused.code == "INVALID_ARGUMENT"
        assert "training saw 4 to 16" in refused.message
        assert refusal(client, "root", np.array([[np.nan, 9]], np.float32)).code == "INTERNAL"
    with (
        running_server(models / "root", "--input-stats", "off") as server,
        Client(server.grpc) as client,
    ):
        assert client.ask("root", {"x": np.array([[10, 900]], np.float32)}).warnings == ()


def test_a_message_larger_than_allowed_is_refused_by_grpc(models: Path):
    with running_server(models / "identity", "--max-message-mb", "1") as server, Client(server.grpc) as client:
        refused = refusal(client, "identity", np.zeros((100_000, 4), np.float32))
        assert refused.code == "RESOURCE_EXHAUSTED"
        assert client.predict("identity", {"x": np.zeros((1000, 4), np.float32)})["y"].shape == (1000, 4)


@pytest.mark.parametrize("protocol", ["tensorflow-serving", "open-inference"])
def test_an_answer_larger_than_allowed_is_refused_in_our_words_and_counted(tmp_path: Path, protocol: str):
    publish(doubled(), tmp_path, "doubled")
    flags = ("--max-message-mb", "1", "--queue-rows", "100000")
    with running_server(tmp_path, *flags) as server, Client(server.grpc, protocol=protocol) as client:
        refused = refusal(client, "doubled", np.zeros((40_000, 4), np.float32))
        assert refused.code == "RESOURCE_EXHAUSTED"
        assert "this server sends 1048576 at most (--max-message-mb)" in refused.message
        labels = {"model": "doubled", "version": 1}
        assert server.metric("kedge_rejections_total", **labels, reason="answer_too_large") == 1
        assert server.metric("kedge_requests_total", **labels, protocol=protocol, code="OK") == 0
        assert client.predict("doubled", {"x": np.zeros((20_000, 4), np.float32)})["y"].shape == (20_000, 8)
