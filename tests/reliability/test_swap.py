"""Versions that come and go under load: no error, and every answer is that of exactly one version."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, Protocol
from tests.reliability.accounts import assert_it_adds_up
from tests.reliability.lengths import Lengths
from tests.reliability.swapping import INPUTS, NAME, load, publish_numbered, swap
from tests.services.server_process import running_server

FLAGS = ("--versions", "latest:1", "--allow-admin", "on", "--watch", "off")


class Asker(threading.Thread):
    """Asks for the latest version over and over; what goes wrong is raised again by `stop`."""

    def __init__(self, address: str, protocol: Protocol) -> None:
        super().__init__(daemon=True)
        self.versions: list[int] = []
        self._address, self._protocol = address, protocol
        self._is_stopped = False
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            with Client(self._address, self._protocol) as client:
                while not self._is_stopped:
                    answer = client.ask(NAME, INPUTS, timeout_s=60)
                    total = answer.outputs["total"]
                    assert np.all(total == answer.version), f"version {answer.version} answered {total}"
                    self.versions.append(answer.version)
        except Exception as error:  # noqa: BLE001 (raised where it is looked for)
            self._error = error

    def stop(self) -> None:
        self._is_stopped = True
        self.join(60)
        if self._error is not None:
            raise self._error


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flags", [(), ("--batch-window-ms", "5")], ids=["on the event loop", "in batches"])
def test_every_answer_is_from_one_version_and_none_is_an_error(
    tmp_path: Path, lengths: Lengths, flags: tuple[str, ...]
):
    publish_numbered(tmp_path, 1)
    last = 1 + lengths.swaps
    with running_server(tmp_path, *FLAGS, *flags) as server:
        askers = [Asker(server.grpc, protocol) for protocol in PROTOCOLS * 2]
        for asker in askers:
            asker.start()
        for version in range(2, last + 1):
            swap(server, tmp_path, version)
        with Client(server.grpc) as client:
            assert client.ask(NAME, INPUTS).version == last
        for asker in askers:
            asker.stop()
            assert asker.versions == sorted(asker.versions)  # nobody is sent back to an older one
        answered = Counter(version for asker in askers for version in asker.versions)
        assert answered.keys() == set(range(1, last + 1))
        # The series of versions that are gone have gone with them.
        ended = {(labels["version"], labels["code"]): 0.0 for labels, _ in server.samples("kedge_requests_total")}
        for labels, value in server.samples("kedge_requests_total"):
            ended[labels["version"], labels["code"]] += value
        assert {key: value for key, value in ended.items() if value} == {(str(last), "OK"): answered[last] + 1}


def test_a_broken_version_under_load_changes_nothing(tmp_path: Path):
    publish_numbered(tmp_path, 1)
    with running_server(tmp_path, *FLAGS) as server:
        asker = Asker(server.grpc, "open-inference")
        asker.start()
        model = publish_numbered(tmp_path, 2) / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1])
        with pytest.raises(Exception, match="version 2"):
            load(server)
        assert server.event("model_failed")["version"] == 2
        assert server.get("/readyz").status == 200
        asker.stop()
        assert set(asker.versions) == {1}
        assert_it_adds_up(server)
