"""The real Prometheus as a child process on loopback, with the configuration and the rules of deploy/."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "prometheus"
START_S = 30.0

Labels = dict[str, str]


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus; its HTTP API."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 (whatever the API answers)
        """The data of one API call; an error of Prometheus's is an error here."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:  # noqa: S310
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """The samples of an instant query."""
        data = self.get("query", query=expression)
        assert data["resultType"] == "vector", expression
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def wait_for(self, what: str, is_there: Callable[[], bool], timeout_s: float = START_S) -> None:
        """Ask until the answer is yes."""
        end = time.monotonic() + timeout_s
        while not is_there():
            assert time.monotonic() < end, f"{what}: not within {timeout_s:g} s"
            time.sleep(0.1)


@contextlib.contextmanager
def running_prometheus(program: Path, work: Path, target: str) -> Iterator[Prometheus]:
    """Scrape `target` (host:port) every second with the configuration of deploy/, and evaluate its rules as often."""
    shutil.copytree(CONFIGURATION, work / "configuration")
    configuration = work / "configuration" / "prometheus.yml"
    document = yaml.safe_load(configuration.read_text())
    document["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (job,) = document["scrape_configs"]
    job["static_configs"] = [{"targets": [target]}]
    configuration.write_text(yaml.safe_dump(document))
    address = f"127.0.0.1:{_free_port()}"
    log = work / "prometheus.log"
    with log.open("w") as lines:
        process = subprocess.Popen(
            [program, f"--config.file={configuration}", f"--storage.tsdb.path={work / 'data'}",
             f"--web.listen-address={address}"], stdout=lines, stderr=subprocess.STDOUT)  # fmt: skip
    prometheus = Prometheus(f"http://{address}")
    try:
        prometheus.wait_for(f"Prometheus, see {log}", lambda: _is_ready(prometheus.url))
        yield prometheus
    finally:
        process.terminate()
        process.wait(START_S)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:  # it does not listen yet, or it says 503 while it starts
        return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
