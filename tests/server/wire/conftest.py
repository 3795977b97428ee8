from collections.abc import Iterator

import grpc
import pytest

from tests.server.wire.served import Caller, publish_all
from tests.services.server_process import ServerProcess, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("repository")
    publish_all(repository)
    with running_server(repository, "--required-models", "two,slow,sqrt,scalar") as running:
        yield running


@pytest.fixture(scope="session")
def caller(server: ServerProcess) -> Iterator[Caller]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield Caller(channel)
