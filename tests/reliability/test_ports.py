"""Ports: one server each, said at once where it cannot be had, and free again when the server has ended."""

import socket
from pathlib import Path

import pytest

from kedge_server.client import Client, ServerUnreachable
from tests.server.test_app import failure, ones
from tests.services.server_process import running_server


@pytest.mark.parametrize("flag", ["--grpc-address", "--http-address"])
def test_a_port_that_another_process_has_ends_with_5(models: Path, flag: str):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, sentence = failure(models, flag, address)
    assert code == 5
    assert sentence == f"cannot listen on {address}: another process listens there already; see {flag}"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 (the default, which must not be shared either)
def test_two_servers_never_share_a_port(models: Path, host: str):
    with running_server(models / "two", "--grpc-address", f"{host}:0", "--http-address", f"{host}:0") as first:
        serving = first.event("serving")
        for flag, key in (("--grpc-address", "grpc_port"), ("--http-address", "http_port")):
            for second in ("127.0.0.1", "0.0.0.0"):  # noqa: S104
                code, sentence = failure(models / "two", flag, f"{second}:{serving[key]}")
                assert code == 5
                assert flag in sentence
        with Client(first.grpc) as client:
            assert client.ask("two", ones()).version == 1


def test_the_port_is_free_again_once_it_has_ended(models: Path):
    with running_server(models / "two") as server:
        address = server.grpc
        assert server.stop() == 0
    with Client(address) as client, pytest.raises(ServerUnreachable):
        client.predict("two", ones(), timeout_s=5)
    with running_server(models / "two", "--grpc-address", address) as again:
        assert again.grpc == address
