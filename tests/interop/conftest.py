"""The real clients live in an environment of their own: they pin older protobufs and register our message names."""

import fcntl
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.wire.served import publish_all
from tests.services.server_process import ServerProcess, running_server

ROOT = Path(__file__).parents[2]
ENVIRONMENT, LOCK = ROOT / ".venv-interop", ROOT / "requirements" / "interop.lock"
HERE = Path(__file__).parent

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def interop_python() -> Path:
    """The interpreter of `.venv-interop`, made anew whenever its lock file has changed."""
    stamp = ENVIRONMENT / "made-from.sha256"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    with LOCK.open("rb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # another process of the same run may be about to make it, too
        if not stamp.is_file() or stamp.read_text() != wanted:
            command = [ROOT / "scripts" / "setup", ENVIRONMENT.name, LOCK.relative_to(ROOT)]
            subprocess.run(command, cwd=ROOT, check=True)
            stamp.write_text(wanted)
    return ENVIRONMENT / "bin" / "python"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("repository")
    publish_all(repository)
    with running_server(repository, "--required-models", "two,slow,sqrt,scalar") as running:
        yield running


@pytest.fixture(scope="session")
def run_program(interop_python: Path) -> Run:
    """Runs one of the programs here in that environment, and gives what it found out."""

    def run(program: str, *arguments: str | Path) -> dict[str, Any]:
        command = [interop_python, HERE / program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(found, dict)
        return found

    return run


@pytest.fixture(scope="session")
def run_client(run_program: Run, server: ServerProcess) -> Run:
    """Runs one of them against the server."""
    return lambda program: run_program(program, server.grpc)
