"""Bundles that are tuned as they are loaded: what may be chosen, what is kept, and what a setting fixes."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from kedge_bundle import cli
from kedge_bundle.errors import DeviceLost, RunFailed
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors
from kedge_bundle.store import Bundle
from kedge_server.load_turns import LoadTurns
from kedge_server.loading import LoadFailed
from kedge_server.session import SELF_TEST_ALONE, Options
from kedge_server.settings import Settings
from kedge_server.tuner import Tuner
from kedge_server.tuning import Arrangement, Measured
from kedge_server.tuning_cache import TuningCache
from tests.server.in_process import prepared
from tests.server.tuned import SLOW, Table, events, measured_as, tuned
from tests.services.bundles import identity, publish


@pytest.fixture(autouse=True)
def _four_cores_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("arranging", "tuning_plan"):
        monkeypatch.setattr(f"kedge_server.{module}.usable_cores", lambda: 4)
    monkeypatch.setattr("kedge_server.arranging.OthersUse.share", lambda _: 0.0)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(SLOW, tmp_path / "models", "slow")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_the_best_that_was_measured_serves(bundle: Bundle, state: Path, monkeypatch: pytest.MonkeyPatch):
    table = measured_as(monkeypatch, threads=1, instances=2, rows=8)
    found, log = tuned(bundle, state)
    assert found.arrangement == Arrangement(2, 1, 8, is_quick=False)
    assert len(found.runtimes) == 2
    assert table.tried == {(1, instances, rows) for instances in (1, 2, 4) for rows in (1, 4, 8, 32)}
    (event,) = events(log, "tuned")
    assert (event["model"], event["version"], event["source"]) == ("slow", 1, "measured")
    assert (event["instances"], event["threads"], event["max_batch_rows"]) == (2, 1, 8)
    assert event["rows_per_second"] == 2.0
    assert len(events(log, "tuning_table")[0]["table"]) == 12


def test_without_a_tuner_nothing_is_measured(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    table = measured_as(monkeypatch, threads=1, instances=1, rows=1)
    with capture_logs() as log:
        assert prepared(bundle).arrangement == Arrangement(4, 1, 32, is_quick=False)
    assert not table.tried
    assert log == []


def test_a_real_measurement_takes_one_of_what_there_is(bundle: Bundle, state: Path):
    found, log = tuned(bundle, state)
    (event,) = events(log, "tuned")
    assert event["instances"] == len(found.runtimes) in (1, 2, 4)
    assert found.arrangement.max_batch_rows in (1, 4, 8, 32)
    assert event["latency_ms"] > 0
    outputs = found.runtimes[0].run(SLOW.golden_inputs)
    np.testing.assert_allclose(outputs["y"], SLOW.answer(SLOW.golden_inputs)["y"], rtol=1e-4, atol=1e-4)


def test_what_was_found_is_read_at_the_next_start(bundle: Bundle, state: Path, monkeypatch: pytest.MonkeyPatch):
    measured_as(monkeypatch, threads=1, instances=2, rows=8)
    first, _ = tuned(bundle, state)
    table = measured_as(monkeypatch, threads=1, instances=4, rows=32)
    second, log = tuned(bundle, state)
    assert second.arrangement == first.arrangement
    assert not table.tried
    assert events(log, "tuned")[0]["source"] == "cache"
    assert events(log, "tuned")[0]["rows_per_second"] == 2.0


@pytest.mark.parametrize("options", [{"max_batch_rows": 16}, {"bound_s": 0.5}, {"instances": 1}, {"format": "onnx"}])
def test_another_question_is_measured_anew(
    bundle: Bundle, state: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
):
    measured_as(monkeypatch, threads=1, instances=2, rows=8)
    tuned(bundle, state)
    _, log = tuned(bundle, state, **options)
    is_same = options == {"format": "onnx"}  # what `auto` takes, too
    assert events(log, "tuned")[0]["source"] == ("cache" if is_same else "measured")


@pytest.mark.parametrize("name", ["this_machine", "runtime_version", "usable_cores"])
def test_another_machine_runtime_or_number_of_cores_is_measured_anew(
    bundle: Bundle, state: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    from kedge_server import arranging  # noqa: PLC0415 (to take what is replaced)

    tuned(bundle, state)
    was = getattr(arranging, name)
    other = {
        "this_machine": lambda device: was(device).model_copy(update={"processor": "another"}),
        "runtime_version": lambda _: "onnxruntime 9.9.9",
        "usable_cores": lambda: 3,
    }
    monkeypatch.setattr(f"kedge_server.arranging.{name}", other[name])
    _, log = tuned(bundle, state)
    assert events(log, "tuned")[0]["source"] == "measured"


def test_a_file_that_says_what_could_not_be_chosen_is_ignored(bundle: Bundle, state: Path):
    tuned(bundle, state)
    (path,) = (state / "tuning").iterdir()
    document = json.loads(path.read_text())
    document["arrangement"]["instances"] = 10_000
    path.write_text(json.dumps(document))
    found, log = tuned(bundle, state)
    assert len(found.runtimes) <= 4
    assert "never to choose from" in events(log, "tuning_cache_ignored")[0]["because"]
    assert events(log, "tuned")[0]["source"] == "measured"


def test_a_file_that_puts_on_the_event_loop_what_must_not_be_there_is_ignored(
    bundle: Bundle, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kedge_bundle.runtimes.onnx.OnnxRuntime.is_thread_safe", False)
    tuned(bundle, state)
    (path,) = (state / "tuning").iterdir()
    path.write_text(path.read_text().replace('"is_quick": false', '"is_quick": true'))
    found, log = tuned(bundle, state)
    assert not found.arrangement.is_quick
    assert len(events(log, "tuning_cache_ignored")) == 1


def test_threads_that_are_not_proven_are_left_out_until_they_are(
    bundle: Bundle, state: Path, monkeypatch: pytest.MonkeyPatch
):
    table = measured_as(monkeypatch, threads=2, instances=1, rows=1)
    found, log = tuned(bundle, state)
    assert {threads for threads, _, _ in table.tried} == {1}
    left_out = events(log, "threads_left_out")
    assert [(event["threads"], event["log_level"]) for event in left_out] == [(2, "debug"), (4, "debug")]
    assert cli.main([str(bundle.directory), "--threads", "2", "--attest"]) == 0
    found, log = tuned(bundle, state)
    assert found.arrangement == Arrangement(1, 2, 1, is_quick=False)
    assert found.proof.startswith("1.attestation-")
    assert found.runtimes[0].options.threads == 2
    assert "4 threads" in events(log, "threads_left_out")[0]["because"]
    again, log = tuned(bundle, state)
    assert (again.arrangement, again.proof) == (found.arrangement, found.proof)
    assert events(log, "tuned")[0]["source"] == "cache"
    for record in bundle.directory.parent.glob("1.attestation-*"):
        record.unlink()
    assert tuned(bundle, state)[0].runtimes[0].options.threads == 1  # what was kept needs its proof as well


def test_with_warn_threads_that_are_not_proven_may_be_taken(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    measured_as(monkeypatch, threads=4, instances=1, rows=1)
    found, _ = tuned(bundle, None, unproven_options="warn")
    assert (found.runtimes[0].options.threads, found.proof) == (4, SELF_TEST_ALONE)
    assert "--threads 4 --attest" in found.unproven


def test_threads_that_do_not_answer_right_are_left_out(bundle: Bundle, state: Path, monkeypatch: pytest.MonkeyPatch):
    answer = Runtime.run

    def wrong(runtime: Runtime, inputs: Tensors) -> Tensors:
        outputs = answer(runtime, inputs)
        return outputs if runtime.options.threads == 1 else {name: array + 1 for name, array in outputs.items()}

    table = measured_as(monkeypatch, threads=4, instances=1, rows=1)
    assert tuned(bundle, state, unproven_options="warn")[0].arrangement.threads == 4
    table.tried.clear()
    monkeypatch.setattr("kedge_bundle.runtimes.base.Runtime.run", wrong)
    found, log = tuned(bundle, state, unproven_options="warn")
    assert "self-test failed" in events(log, "tuning_cache_ignored")[0]["because"]
    assert {threads for threads, _, _ in table.tried} == {1}
    assert found.proof == "manifest.json"
    assert "self-test failed" in events(log, "threads_left_out")[0]["because"]


def test_what_is_given_is_fixed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    table = measured_as(monkeypatch, threads=1, instances=2, rows=8)
    assert tuned(bundle, None, instances=3)[0].arrangement == Arrangement(3, 1, 1, is_quick=False)
    assert {instances for _, instances, _ in table.tried} == {3}
    table.tried.clear()
    found, _ = tuned(bundle, None, max_batch_rows=16, is_batch_given=True)
    assert found.arrangement.max_batch_rows == 16
    assert {rows for _, _, rows in table.tried} == {16}
    table.tried.clear()
    found, _ = tuned(bundle, None, threads=2, unproven_options="warn")
    assert {threads for threads, _, _ in table.tried} == {2}
    assert {instances for _, instances, _ in table.tried} == {1, 2}  # so that they fit the cores


def test_where_everything_is_given_nothing_is_measured(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    table = measured_as(monkeypatch, threads=1, instances=2, rows=8)
    found, log = tuned(bundle, None, instances=3, threads=1, is_batch_given=True)
    assert found.arrangement == Arrangement(3, 1, 32, is_quick=False)
    assert not table.tried
    (event,) = events(log, "tuned")
    assert (event["source"], event["rows_per_second"]) == ("fixed", None)


def test_a_model_for_the_event_loop_is_not_measured_further(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
):
    table = measured_as(monkeypatch, threads=1, instances=2, rows=8)
    small = publish(identity(), tmp_path, "small")
    found, log = tuned(small, state)
    assert found.arrangement == Arrangement(4, 1, 32, is_quick=True)
    assert not table.tried
    assert events(log, "tuned")[0]["on_event_loop"]
    assert tuned(small, state)[0].arrangement == found.arrangement


def test_a_fixed_batch_and_a_model_that_is_not_joinable_have_the_one_batch_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fixed = identity()
    fixed = type(fixed)(**{**vars(fixed), "batch": 2})
    table = measured_as(monkeypatch, threads=1, instances=2, rows=2)
    monkeypatch.setattr("kedge_server.arranging.QUICK_S", 0.0)
    assert tuned(publish(fixed, tmp_path, "fixed"), None)[0].arrangement == Arrangement(2, 1, 2, is_quick=False)
    whole = publish(identity(shape=(2, 4)), tmp_path, "whole")
    assert tuned(whole, None)[0].arrangement == Arrangement(2, 1, 32, is_quick=False)
    assert {rows for _, _, rows in table.tried} == {2}


def test_each_instance_is_measured_with_a_runtime_of_its_own_where_it_cannot_be_shared(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kedge_bundle.runtimes.onnx.OnnxRuntime.is_thread_safe", False)
    closed: list[Runtime] = []

    def close(runtime: Runtime) -> None:
        closed.append(runtime)

    monkeypatch.setattr("kedge_bundle.runtimes.onnx.OnnxRuntime.close", close)
    measured_as(monkeypatch, threads=1, instances=2, rows=8)
    found, _ = tuned(bundle, None)
    assert len(set(found.runtimes)) == 2
    assert len(closed) == 2  # four were measured
    assert not set(closed) & set(found.runtimes)


def test_batches_that_do_not_fit_into_the_time_are_allowed_where_larger_ones_were_much_better_so_far(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    small = {(instances, rows): 350.0 for instances in (1, 2, 4) for rows in (1, 4)}
    rates = small | {(1, 8): 300.0, (2, 8): 600.0, (4, 8): 500.0}

    def measured(runtimes: tuple[Runtime, ...], _: Tensors, rows: int, *__: float) -> Measured:
        return Measured(1, len(runtimes), rows, rates[len(runtimes), rows], latency_s=1e-9)

    monkeypatch.setattr("kedge_server.arranging.measure", measured)  # 32 rows would take more than 0.3 seconds
    monkeypatch.setattr("kedge_server.arranging.seconds", lambda *_: 1e-3)
    monkeypatch.setattr("kedge_server.arranging.warm", lambda *_: 3600.0)
    assert tuned(bundle, None)[0].arrangement == Arrangement(2, 1, 32, is_quick=False)
    assert tuned(bundle, None, bound_s=1.0)[0].arrangement == Arrangement(2, 1, 8, is_quick=False)
    rates[2, 8] = 500.0
    assert tuned(bundle, None)[0].arrangement == Arrangement(2, 1, 8, is_quick=False)


def test_a_model_too_slow_to_be_measured_is_served_as_without_tuning(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge_server.arranging.seconds", lambda *_: 60.0)
    monkeypatch.setattr("kedge_server.arranging.warm", lambda *_: 60.0)
    found, log = tuned(bundle, None)
    assert found.arrangement == Arrangement(4, 1, 32, is_quick=False)
    assert events(log, "tuned")[0]["source"] == "fixed"


def test_an_arrangement_that_does_not_run_is_left_out(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    table = Table((1, 1, 8))

    def only_alone(runtimes: tuple[Runtime, ...], *rest: Any) -> Measured:  # noqa: ANN401
        if len(runtimes) > 1:
            raise RunFailed("out of memory")
        return table(runtimes, *rest)

    monkeypatch.setattr("kedge_server.arranging.measure", only_alone)
    found, log = tuned(bundle, None)
    assert found.arrangement.instances == 1
    assert events(log, "does_not_run")[0]["because"] == "out of memory"


def test_a_device_that_is_lost_is_no_arrangement_that_does_not_run(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    def lost(*_: object) -> Measured:
        raise DeviceLost("CUDA error 700", "cuda:0")

    monkeypatch.setattr("kedge_server.arranging.measure", lost)
    with pytest.raises(LoadFailed, match="CUDA error 700") as caught:
        tuned(bundle, None)
    assert isinstance(caught.value.__cause__, DeviceLost)


def test_a_bound_that_nothing_keeps_is_warned_of(bundle: Bundle, state: Path):
    found, log = tuned(bundle, state, bound_s=2**-30)
    (warning,) = events(log, "latency_bound_missed")
    assert (warning["log_level"], warning["latency_bound_ms"]) == ("warning", 2**-30 * 1000)
    assert warning["latency_ms"] > 0
    assert found.arrangement.instances >= 1


def test_what_was_measured_while_others_used_the_cores_is_not_kept(
    bundle: Bundle, state: Path, monkeypatch: pytest.MonkeyPatch
):
    measured_as(monkeypatch, threads=1, instances=2, rows=8)
    monkeypatch.setattr("kedge_server.arranging.OthersUse.share", lambda _: 0.4)
    for _ in range(2):
        found, log = tuned(bundle, state)
        assert found.arrangement == Arrangement(2, 1, 8, is_quick=False)
        assert events(log, "tuned")[0]["source"] == "measured"
        assert events(log, "tuned_on_a_busy_machine")[0]["because"] == "other processes had 40% of the cores"
    assert not state.exists()


def test_what_was_measured_beside_another_load_is_not_kept(bundle: Bundle, state: Path):
    tuner = Tuner("quick", 0.0, TuningCache(state), turns=LoadTurns(patience_s=0.0))
    hangs, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        with tuner.turns.loading():
            hangs.set()
            goes_on.wait(60)

    hanging = threading.Thread(target=hang)
    hanging.start()
    hangs.wait(60)
    with capture_logs() as log:
        prepared(bundle, tuner=tuner)
    goes_on.set()
    hanging.join()
    assert events(log, "tuned_on_a_busy_machine")[0]["because"].startswith("another model")
    assert not state.exists()


def test_what_settings_say_is_what_a_model_is_loaded_with(tmp_path: Path):
    def options(**given: Any) -> Options:  # noqa: ANN401
        return Options.of(Settings(repository=tmp_path, **given))

    assert not options().is_batch_given
    assert options(max_batch_rows=32).is_batch_given  # asked for, though it is the default
    assert options(tune="off").tuner is None
    tuner = options(tune="full", latency_bound_ms=20).tuner
    assert tuner is not None
    assert (tuner.mode, tuner.latency_bound_s) == ("full", 0.02)
