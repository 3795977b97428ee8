"""The health check of the images against a real server, in the environment that the image gives it."""

import subprocess
import sys
from pathlib import Path

from tests.services.bundles import publish, two_output
from tests.services.server_process import running_server

CHECK = Path(__file__).parents[2] / "deploy" / "images" / "healthcheck.py"


def check(address: str, *path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", CHECK, *path],
        env={"KEDGE_HTTP_ADDRESS": address} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_passes_while_the_server_answers_past_any_proxy_and_fails_after(tmp_path: Path):
    publish(two_output(), tmp_path, "two_output")
    with running_server(tmp_path) as server:
        port = server.http.rpartition(":")[2]
        for path in ("/healthz", "/readyz"):
            for address in (f"127.0.0.1:{port}", f"0.0.0.0:{port}"):
                assert check(address, path, http_proxy="http://127.0.0.1:9").returncode == 0
        assert check(f"127.0.0.1:{port}").returncode == 0
        server.stop()
    failed = check(f"127.0.0.1:{port}")
    assert failed.returncode == 1
    assert f"http://127.0.0.1:{port}/healthz: " in failed.stderr


def test_readiness_fails_where_a_model_is_missing(tmp_path: Path):
    publish(two_output(), tmp_path, "two_output")
    with running_server(tmp_path, "--required-models", "two_output,missing", wait_ready=False) as server:
        address = server.http.removeprefix("http://")
        assert check(address, "/healthz").returncode == 0
        failed = check(address, "/readyz")
    assert failed.returncode == 1
    assert "503" in failed.stderr
