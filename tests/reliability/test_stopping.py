"""Signals, and what becomes of the calls that a server has taken when one comes."""

import os
import shutil
import signal
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.reliability.held import held_server
from tests.server.callers import Callers
from tests.server.test_app import SLOW_LOAD, SLOW_ROWS
from tests.services.server_process import running_server, started_server


@pytest.mark.parametrize(("stage", "after_s"), [("loading", 0.0), ("warming", 1.0)])
def test_a_signal_while_it_loads_ends_it_at_once_with_0(models: Path, stage: str, after_s: float):
    """Opening and hashing `slow` takes tens of milliseconds, its warm-up seconds."""
    with running_server(models / "slow", *SLOW_LOAD, wait_ready=False) as server:
        time.sleep(after_s)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 1.0
        assert "model_loaded" not in [event["event"] for event in server.log()], stage


def test_a_signal_while_the_first_look_at_the_repository_hangs_ends_it_at_once_with_0(models: Path, tmp_path: Path):
    shutil.copytree(models / "identity", tmp_path / "models" / "identity")
    os.mkfifo(tmp_path / "models" / "identity" / "labels.json")  # whoever opens it waits, as with a share that hangs
    with started_server(tmp_path / "models") as server:
        server.event("starting")
        time.sleep(0.5)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 1.0
    assert {"serving", "model_loaded"}.isdisjoint(event["event"] for event in server.log())


def test_a_signal_under_load_loses_no_request_and_ends_with_0(models: Path):
    with running_server(models / "identity") as server, Callers(server.grpc, "identity", threads=8) as callers:
        callers.wait_for(answers=500)
        assert server.stop() == 0
        callers.join()
    assert server.event("stopped")["cut"] == 0
    assert callers.wrong == []
    # A call that the server had taken is answered; one that came too late was never taken, and says so.
    assert set(callers.errors) <= {"UNAVAILABLE"}, callers.errors
    assert callers.lost == []


def test_a_signal_in_the_middle_of_a_run_waits_for_the_answer(models: Path):
    with (
        running_server(models / "slow") as server,
        Callers(server.grpc, "slow", threads=3, inputs=SLOW_ROWS) as callers,
    ):
        callers.wait_for(answers=1)
        server.wait_in_flight(3)
        callers.finish()  # whoever calls on until the very end may come between a stopped server and its closed port
        assert server.stop() == 0
        callers.join()
        assert server.event("draining")["in_flight"] > 0
    assert callers.lost == []
    assert callers.answers >= 1 + server.event("draining")["in_flight"]


def test_a_signal_while_a_batch_collects_answers_everybody_in_it(models: Path):
    flags = ("--batch-window-ms", "1500", "--max-batch-rows", "64", "--queue-rows", "64")
    with (
        running_server(models / "identity", *flags) as server,
        Callers(server.grpc, "identity", threads=6) as callers,
    ):
        server.wait_in_flight(6)
        callers.finish()
        assert server.stop() == 0
        callers.join()
        assert server.event("stopped")["cut"] == 0
    assert callers.answers >= server.event("draining")["in_flight"] > 0
    assert (callers.lost, callers.wrong, callers.errors) == ([], [], {})


def test_a_watcher_of_its_health_is_told_and_holds_nothing_up(models: Path):
    with running_server(models / "two") as server, grpc.insecure_channel(server.grpc) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(), timeout=30)
        assert next(watch).status == HealthCheckResponse.SERVING
        started = time.monotonic()
        server.send(signal.SIGTERM)
        assert next(watch).status == HealthCheckResponse.NOT_SERVING
        assert list(watch) == []
        assert server.wait() == 0
        assert time.monotonic() - started < 5


def test_interrupt_from_the_keyboard_is_the_same(models: Path):
    with running_server(models / "two") as server:
        server.send(signal.SIGINT)
        assert server.wait() == 0
        assert server.event("stopping")["signal"] == "SIGINT"


def test_a_drain_that_takes_too_long_cuts_what_is_left_and_ends_with_1(models: Path):
    with held_server(models, "--drain-timeout-s", "0.2") as held:
        cut = [held.hold(), held.call(3)]
        held.server.wait_queued(3)  # a request that is still being read when the signal comes is refused, not cut
        started = time.monotonic()
        assert held.server.stop() == 1
        assert time.monotonic() - started < 8  # the batch would collect for ten seconds
        assert held.server.event("stopped")["cut"] == 2
        assert all(call.code() is not grpc.StatusCode.OK for call in cut)


def test_a_second_signal_ends_it_at_once_with_1(models: Path):
    with held_server(models) as held:
        calls = [held.hold(), held.call(3)]
        held.server.wait_queued(3)
        held.server.send(signal.SIGTERM)
        held.server.event("draining")
        time.sleep(0.6)
        started = time.monotonic()
        held.server.send(signal.SIGTERM)
        assert held.server.wait() == 1
        assert time.monotonic() - started < 1.0
        assert held.server.event("stopped_at_once")["in_flight"] == 2
        assert all(call.code() is not grpc.StatusCode.OK for call in calls)


def test_signals_that_come_together_are_one_and_the_drain_is_not_skipped(models: Path):
    with (
        running_server(models / "slow") as server,
        Callers(server.grpc, "slow", threads=3, inputs=SLOW_ROWS) as callers,
    ):
        server.wait_in_flight(3)
        server.send(signal.SIGTERM)
        server.event("draining")
        for number in (signal.SIGTERM, signal.SIGINT):
            server.send(number)
        assert server.wait() == 0
        callers.join()
        assert server.event("draining")["in_flight"] > 0
    assert callers.lost == []
    # One whose values are still being read when the signal comes is in flight, too, and is refused.
    assert callers.answers + callers.errors["UNAVAILABLE"] >= server.event("draining")["in_flight"]
    assert callers.answers
