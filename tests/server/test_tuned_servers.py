"""Real servers that tune: what they say and show of it, and what is on their disk afterwards.

Other tests run beside these: what is measured here may be disturbed, and is not kept then.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kedge_bundle.store import Bundle
from kedge_server.client import Client
from kedge_server.loading import Place, prepare
from kedge_server.session import Options
from kedge_server.settings import Settings
from tests.server.tuned import SLOW, events
from tests.services.bundles import publish
from tests.services.server_process import ServerProcess, running_server


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(SLOW, tmp_path / "models", "slow")


def tuned_as_it_says(server: ServerProcess) -> dict[str, Any]:
    """The event of its model, which it serves in that way, and right."""
    event = server.event("tuned")
    assert server.metric("kedge_model_instances", model="slow", version=1) == event["instances"]
    assert server.metric("kedge_model_batch_rows_limit", model="slow", version=1) == event["max_batch_rows"]
    with Client(server.grpc) as client:
        outputs = client.predict("slow", SLOW.golden_inputs)
    np.testing.assert_allclose(outputs["y"], SLOW.answer(SLOW.golden_inputs)["y"], rtol=1e-4, atol=1e-4)
    return event


def test_a_server_measures_says_what_it_took_and_keeps_it_unless_it_was_disturbed(bundle: Bundle, tmp_path: Path):
    state = tmp_path / "state"
    with running_server(bundle.directory, "--device", "cpu", "--state-dir", str(state)) as server:
        assert tuned_as_it_says(server)["source"] == "measured"
        assert server.stop() == 0
        assert (state / "tuning").exists() != bool(events(server.log(), "tuned_on_a_busy_machine"))


def test_a_server_reads_what_was_found_before_and_measures_nothing(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    state = tmp_path / "state"
    monkeypatch.setattr("kedge_server.arranging.OthersUse.share", lambda _: 0.0)
    options = Options.of(Settings(repository=bundle.directory, device="cpu", state_dir=state))
    found = prepare(Place("slow", 1, bundle.directory), options).arrangement
    (kept,) = (state / "tuning").iterdir()
    before = kept.read_bytes()
    with running_server(bundle.directory, "--device", "cpu", "--state-dir", str(state)) as server:
        event = tuned_as_it_says(server)
        assert server.stop() == 0
    assert event["source"] == "cache"
    assert event["rows_per_second"] == round(json.loads(before)["chosen"]["rows_per_second"], 1)
    assert (event["instances"], event["threads"]) == (found.instances, found.threads)
    assert event["max_batch_rows"] == found.max_batch_rows
    assert kept.read_bytes() == before


def test_a_server_that_cannot_keep_what_it_found_serves_all_the_same(bundle: Bundle):
    with running_server(bundle.directory, "--state-dir", "/proc/kedge") as server:
        assert server.event("tuned")["source"] == "measured"
        if not events(server.log(), "tuned_on_a_busy_machine"):
            assert server.event("tuning_not_kept")["directory"] == "/proc/kedge/tuning"


def test_a_server_told_not_to_tune_does_not(bundle: Bundle, tmp_path: Path):
    state = tmp_path / "state"
    with running_server(bundle.directory, "--tune", "off", "--state-dir", str(state)) as server:
        assert server.event("model_loaded")["threads"] == 1
        assert "tuned" not in [event.get("event") for event in server.log()]
        assert server.metric("kedge_model_batch_rows_limit") == 32
    assert not state.exists()
