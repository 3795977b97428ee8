import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, ClientError, Protocol, ServerUnreachable, Tensor, Violation
from tests.services.bundles import identity, publish, slow_matmul, square_root, two_output
from tests.services.server_process import ServerProcess, running_server

TWO = {name: np.arange(6, dtype=np.float32).reshape(2, 3) for name in "ab"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("repository")
    publish(two_output(), repository, "two")
    publish(square_root(), repository, "sqrt")
    publish(identity("string", (None,)), repository, "echo")
    publish(slow_matmul(), repository, "slow")
    with running_server(repository, "--queue-rows", "4") as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


@pytest.fixture
def client(server: ServerProcess, protocol: Protocol) -> Iterator[Client]:
    with Client(server.grpc, protocol) as made:
        yield made


def test_predict_gives_arrays_by_name(client: Client):
    outputs = client.predict("two", TWO, timeout_s=20)
    np.testing.assert_array_equal(outputs["total"], 4 * TWO["a"])
    np.testing.assert_array_equal(outputs["difference"], np.zeros((2, 3)))


def test_lists_text_and_foreign_byte_orders_travel(client: Client):
    assert client.predict("echo", {"x": ["a", "ü"]}, timeout_s=20)["y"].tolist() == [b"a", "ü".encode()]
    assert client.predict("echo", {"x": np.array([b"a", "ü"], object)}, timeout_s=20)["y"].tolist() == [
        b"a",
        b"\xc3\xbc",
    ]
    swapped = {name: array.astype(">f4") for name, array in TWO.items()}
    np.testing.assert_array_equal(client.predict("two", swapped, timeout_s=20)["total"], 4 * TWO["a"])


def test_metadata_is_the_signature(client: Client):
    metadata = client.metadata("two", timeout_s=20)
    assert (metadata.name, metadata.versions) == ("two", (1,))
    assert metadata.inputs == (Tensor("a", "float32", (None, 3)), Tensor("b", "float32", (None, 3)))
    assert {tensor.name for tensor in metadata.outputs} == {"total", "difference"}


def test_what_strayed_from_training_is_told(client: Client):
    answer = client.ask("sqrt", {"x": np.array([[100, 5]], np.float32)}, timeout_s=20)
    assert (answer.model, answer.version) == ("sqrt", 1)
    assert [str(warning) for warning in answer.warnings] == [
        "input 'x', feature 0: 100 (above-range); training saw 4 to 16",
        "input 'x', feature 0: 100 (z-score); training saw mean 10, std 2",
    ]
    assert client.ask("sqrt", {"x": np.array([[9, 5]], np.float32)}, timeout_s=20).warnings == ()


def test_a_refusal_has_a_code_and_every_violation(client: Client):
    with pytest.raises(ClientError) as caught:
        client.predict("two", {"a": np.zeros((1, 4), np.float32)}, timeout_s=20)
    error = caught.value
    assert not isinstance(error, ServerUnreachable)
    assert error.code == "INVALID_ARGUMENT"
    assert error.violations == (
        Violation("a", "input 'a': expected shape [batch, 3], got [1, 4]"),
        Violation("b", "input 'b': missing; expected float32 of shape [batch, 3]"),
    )
    assert str(error) == f"INVALID_ARGUMENT: {'; '.join(v.description for v in error.violations)}"


def test_an_unknown_model_is_not_found(client: Client):
    for call in (client.metadata, client.is_ready):
        with pytest.raises(ClientError, match=r"NOT_FOUND: .*nobody.* there are echo, slow, sqrt, two"):
            call("nobody", timeout_s=20)


def test_a_full_queue_says_when_to_come_back(client: Client):
    rows = np.zeros((4, 1024), np.float32)
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(client.predict, "slow", {"x": rows}, timeout_s=60) for _ in range(16)]
        errors = [error for call in calls if isinstance(error := call.exception(), ClientError)]
    assert {error.code for error in errors} == {"RESOURCE_EXHAUSTED"}
    assert all(error.retry_after_s is not None and error.retry_after_s > 0 for error in errors)
    assert len(errors) < 16


def test_ready_models_are_ready(client: Client):
    assert client.is_ready("two", timeout_s=20)
    assert client.is_ready("two", version=1, timeout_s=20)


def test_threads_share_a_client(client: Client):
    def ask(i: int) -> bool:
        inputs = {"a": np.full((1, 3), i, np.float32), "b": np.zeros((1, 3), np.float32)}
        return bool((client.predict("two", inputs, timeout_s=20)["total"] == 2 * i).all())

    with ThreadPoolExecutor(4) as pool:  # no more than the queue holds
        assert all(pool.map(ask, range(100)))


def test_an_address_where_nobody_listens_is_unreachable(protocol: Protocol):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with Client(address, protocol) as client:
        with pytest.raises(ServerUnreachable, match=r"UNAVAILABLE: .*onnect"):
            client.predict("two", TWO, timeout_s=20)
        assert not client.is_ready("two", timeout_s=20)


def test_a_server_that_never_answers_is_late(protocol: Protocol):
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Client(f"127.0.0.1:{silent.getsockname()[1]}", protocol) as client,
        pytest.raises(ClientError) as caught,
    ):
        client.metadata("two", timeout_s=0.2)
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_arrays_that_cannot_travel_are_refused_before_they_do(client: Client):
    with pytest.raises(ValueError, match="complex"):
        client.predict("two", {"a": np.zeros(1, np.complex64)})
    with pytest.raises(ValueError, match=r"expected str or bytes in an array of text, got int at \[1\]"):
        client.predict("echo", {"x": np.array(["a", 1], object)})


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="expected a protocol among open-inference, tensorflow-serving, got 'http'"):
        Client("localhost:1", "http")  # type: ignore[arg-type]


def test_importing_the_client_imports_neither_server_nor_schema_library():
    program = "import sys, kedge_server.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "grpc" in modules
    roots = {name.partition(".")[0] for name in modules}
    assert not roots & {
        "pydantic",
        "structlog",
        "uvloop",
        "prometheus_client",
        "kedge_bundle",
        "onnxruntime",
        "tensorflow",
    }
    ours = {name for name in modules if name.startswith("kedge_server.")}
    allowed = ("kedge_server.client", "kedge_server.pb", "kedge_server.wire.caller", "kedge_server.wire.codec")
    assert all(name == "kedge_server.wire" or name.startswith(allowed) for name in ours)
