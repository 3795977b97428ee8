"""The real `serve-model` command as a child process, on ports that the system chooses."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

COMMAND = Path(sys.executable).with_name("serve-model")
START_S = 60.0
STOP_S = 60.0


@dataclass
class Reply:
    """What an HTTP page answered."""

    status: int
    body: str
    headers: Message

    def json(self) -> Any:  # noqa: ANN401 (whatever the page says)
        return json.loads(self.body)


@dataclass
class ServerProcess:
    """A running server; `log` holds the events of its standard error so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.event('serving')['grpc_port']}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.event('serving')['http_port']}"

    def log(self) -> list[dict[str, Any]]:
        """The JSON events so far; other lines as `{"text": line}`."""
        with self.changed:
            return [_parsed(line) for line in self.lines]

    def event(self, name: str, timeout_s: float = START_S) -> dict[str, Any]:
        """Wait for the first log event with this name."""
        end = time.monotonic() + timeout_s
        with self.changed:
            while True:
                for line in self.lines:
                    if (event := _parsed(line)).get("event") == name:
                        return event
                remaining = end - time.monotonic()
                if remaining <= 0 or (self.process.poll() is not None and not self.changed.wait(0.5)):
                    raise AssertionError(f"no event '{name}' in the log:\n" + "\n".join(self.lines))
                self.changed.wait(min(remaining, 0.5))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """GET a page; statuses that are errors are answers, too."""
        request = urllib.request.Request(self.http + path, headers=dict(headers or {}))  # noqa: S310 (our own server)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return Reply(answer.status, answer.read().decode(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read().decode(), error.headers)

    def metric(self, name: str, **labels: object) -> float:
        """One sample of the metrics page; a missing one is an error."""
        wanted = {key: str(value) for key, value in labels.items()}
        found = [value for labels_, value in self.samples(name) if wanted.items() <= labels_.items()]
        assert len(found) == 1, f"{len(found)} samples of {name}{wanted}"
        return found[0]

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Every sample of one name on the metrics page, with its labels."""
        return [
            (sample.labels, sample.value)
            for family in text_string_to_metric_families(self.get("/metrics").body)
            for sample in family.samples
            if sample.name == name
        ]

    def wait_until(self, name: str, value: float, timeout_s: float = START_S, **labels: object) -> None:
        """Wait until a sample of the metrics page has this value."""
        end = time.monotonic() + timeout_s
        while (now := self.metric(name, **labels)) != value:
            assert time.monotonic() < end, f"{name} is {now}, not {value}"
            time.sleep(0.01)

    def wait_in_flight(self, requests: int, timeout_s: float = START_S) -> None:
        """Wait until so many requests have no answer yet."""
        end = time.monotonic() + timeout_s
        while self.metric("kedge_inflight_requests") < requests:
            assert time.monotonic() < end, f"fewer than {requests} requests in flight"
            time.sleep(0.01)

    def wait_queued(self, rows: int, timeout_s: float = START_S) -> None:
        """Wait until so many rows stand in the queue, and still do a moment later: behind a run, not on their way."""
        end = time.monotonic() + timeout_s
        looks = 0
        while looks < 3:
            assert time.monotonic() < end, f"fewer than {rows} rows in the queue"
            looks = looks + 1 if self.metric("kedge_queue_rows") >= rows else 0
            time.sleep(0.03)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = STOP_S) -> int:
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Wait until /readyz says yes."""
        end = time.monotonic() + timeout_s
        while (reply := self.get("/readyz")).status != 200:
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"not ready: {reply.body}\n" + "\n".join(self.lines))
            time.sleep(0.02)


@contextlib.contextmanager
def running_server(
    repository: Path,
    *flags: str,
    env: Mapping[str, str] | None = None,
    wait_ready: bool = True,
    command: Path | None = None,
) -> Iterator[ServerProcess]:
    """Start `serve-model`, wait until it listens (and is ready), and end it whatever happens.

    `command` is another environment's; the one beside this interpreter when None.
    """
    with started_server(repository, *flags, env=env, command=command) as server:
        server.event("serving")
        if wait_ready:
            server.wait_ready()
        yield server


@contextlib.contextmanager
def started_server(
    repository: Path, *flags: str, env: Mapping[str, str] | None = None, command: Path | None = None
) -> Iterator[ServerProcess]:
    """Start `serve-model` without waiting for anything: it may be about to fail.

    It finds no state of an earlier start unless a flag names some: what one test leaves decides about no other.
    """
    state = tempfile.TemporaryDirectory()
    own = {"--grpc-address": "127.0.0.1:0", "--http-address": "127.0.0.1:0", "--state-dir": state.name}
    given = [word for flag, value in own.items() if flag not in flags for word in (flag, value)]
    process = subprocess.Popen(
        [str(command or COMMAND), str(repository), *given, "--log-format", "json", *flags],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=clean_environment() | dict(env or {}),
    )
    server = ServerProcess(process)
    reader = threading.Thread(target=_read, args=(server,), daemon=True)
    reader.start()
    try:
        yield server
    finally:
        process.kill()
        process.wait(STOP_S)
        reader.join(STOP_S)
        assert process.stderr is not None
        process.stderr.close()
        state.cleanup()


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of Kedge's that somebody has exported."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KEDGE_")}


def _read(server: ServerProcess) -> None:
    assert server.process.stderr is not None
    for line in server.process.stderr:
        with server.changed:
            server.lines.append(line.rstrip("\n"))
            server.changed.notify_all()


def _parsed(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        return {"text": line}
    return document if isinstance(document, dict) else {"text": line}
