"""Whether the serving benchmark works; the measuring itself is `make serving-benchmark`."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bare, load, processes, serving, serving_networks
from benchmarks.load import Load, LoadFailed, Pressure, drive, evenly, quantile
from benchmarks.serving_figures import Figure, Result, as_document, lanes_table
from benchmarks.serving_models import Model, mlp
from benchmarks.serving_runs import Measured, Wanted, alternate
from benchmarks.serving_sides import INFER, STREAM, echo, echo_call, infer_call, kedge
from benchmarks.serving_small import measure_start
from benchmarks.streams import drive_streams

needs_h2load = pytest.mark.skipif(load.why_no_h2load() is not None, reason=load.why_no_h2load() or "")


@needs_h2load
def test_a_short_run_measures_kedge_beside_the_echo_and_prints_ratios(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = serving.main(["--short", "--json", str(tmp_path / "out.json")])
    document = json.loads((tmp_path / "out.json").read_text())
    assert [lane["side"] for lane in document["lanes"]][:2] == ["grpcio asyncio echo", "Kedge"]
    assert {lane["rounds"][0]["requests"] for lane in document["lanes"]} == {200}
    assert {figure["name"] for figure in document["figures"]} >= {"mlp", "predict"}
    assert code == int(any(figure["verdict"] == "missed" for figure in document["figures"]))
    assert "MLP, ModelInfer, 8 x 4: CPU per request ÷ asyncio echo's" in capsys.readouterr().out


@needs_h2load
def test_calls_that_end_in_grpc_errors_are_no_throughput(tmp_path: Path) -> None:
    model = mlp(tmp_path)
    with kedge(model.repository) as side:
        call = infer_call(side, model)
        wrong = load.Call(call.pid, call.port, INFER, b"no message", call.answer_bytes)
        with pytest.raises(LoadFailed, match=r"20 calls got 0 bytes of answers, not \d+: some got errors"):
            drive(wrong, Pressure(2, 2, 1.0, requests=20))


@needs_h2load
def test_an_open_loop_begins_as_many_calls_as_it_says(tmp_path: Path) -> None:
    with echo() as side:
        made = drive(echo_call(side, mlp(tmp_path)), Pressure(4, 100, 0.5, per_second=200))
    assert made.requests == 100
    assert made.per_second < 260  # not as fast as the echo can


@pytest.mark.parametrize(("connections", "wanted"), [(16, 700.0), (16, 61.0), (8, 50.0), (2, 333.0)])
def test_staggered_connections_fill_the_gaps_between_each_others_calls(connections: int, wanted: float) -> None:
    step_ms, per_second = evenly(connections, wanted)
    period_ms, slot_ms = connections * 1000 / per_second, 1000 / per_second
    begins = [number * step_ms % period_ms for number in range(connections)]
    assert sorted(begins) == pytest.approx([slot_ms * number for number in range(connections)])
    assert per_second == pytest.approx(wanted, rel=0.02)
    assert connections * step_ms < 1000  # all have begun within a second


def test_a_quantile_is_one_of_the_values() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert [quantile(hundred, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert quantile([7.0], 0.5) == 7.0


def test_a_figure_is_kept_up_to_its_bound() -> None:
    most, least = Figure("a", "", 1.5), Figure("b", "", 0.7, is_least=True)
    assert [Result(most, value).verdict for value in (1.5, 1.51, None)] == ["kept", "missed", "not measured"]
    assert [Result(least, value).verdict for value in (0.7, 0.69)] == ["kept", "missed"]
    assert (most.must_be, least.must_be) == ("≤ 1.5", "≥ 0.7")


def test_without_h2load_the_benchmark_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert serving.main(["--short"]) == 2
    assert "apt-get install nghttp2-client" in capsys.readouterr().err


def test_an_unknown_figure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        serving.main(["--figures", "mlp,speed"])
    assert "unknown figure 'speed'; known: " in capsys.readouterr().err


def test_streams_get_as_many_answers_as_messages(tmp_path: Path) -> None:
    with echo() as side:
        made = drive_streams(echo_call(side, mlp(tmp_path), STREAM), Pressure(2, 3, 1.0, requests=40))
    assert made.requests == 40
    assert made.cpu_us > 0


def test_a_stream_with_an_answer_of_another_size_is_no_throughput(tmp_path: Path) -> None:
    with echo() as side:
        call = replace(echo_call(side, mlp(tmp_path), STREAM), answer_bytes=1)
        with pytest.raises(LoadFailed, match=r"answered with messages of \{'\d+': 4\} bytes, not of 1"):
            drive_streams(call, Pressure(1, 2, 1.0, requests=4))


def test_a_stream_that_ends_early_is_no_throughput(tmp_path: Path) -> None:
    model = mlp(tmp_path)
    with kedge(model.repository) as side:
        call = replace(infer_call(side, model), method="/inference.GRPCInferenceService/NoStream")
        with pytest.raises(LoadFailed, match="the streams failed: the server ended one of them: "):
            drive_streams(call, Pressure(1, 1, 1.0, requests=4))


@needs_h2load
def test_every_network_figure_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(kind: str, _cache: Path) -> Model:
        return mlp(tmp_path / kind, kind.lower())

    monkeypatch.setattr(serving_networks, "network", tiny)
    wanted = Wanted(tmp_path, tmp_path, frozenset(), frozenset(), rounds=1, seconds=0.2, starts=2)
    measured = [serving_networks.measure_mobilenet(wanted), serving_networks.measure_two_models(wanted)]
    values = {result.figure.name: result.value for each in measured for result in each.results}
    assert values.keys() == {"triton", "bare", "open-loop", "two-models"}
    assert [name for name, value in values.items() if value is None] == ["triton"]
    printed = lanes_table([lane for each in measured for lane in each.lanes])
    assert "onnxruntime, 1 x 2 threads, 8 rows" in printed
    assert "both together" in printed
    assert {len(lane.rounds) for lane in measured[0].lanes} == {2}
    json.dumps(as_document(measured[1].lanes, measured[1].results), allow_nan=False)


@needs_h2load
def test_start_and_memory_are_measured(tmp_path: Path) -> None:
    results = measure_start(Wanted(tmp_path, tmp_path, frozenset(), frozenset(), rounds=1, seconds=1)).results
    assert [result.figure.name for result in results] == ["start", "memory"]
    assert all(result.value is not None and result.value > 0 for result in results)


def test_bare_onnxruntime_counts_rows(tmp_path: Path) -> None:
    model = mlp(tmp_path)
    made = bare.measure(model.onnx, np.zeros((8, 32), np.float32), 0.05, instances=2, threads=1)
    assert made.requests % 8 == 0
    assert made.requests > 0


@needs_h2load
def test_a_load_that_nobody_answers_is_no_load(tmp_path: Path) -> None:
    with echo() as side:
        call = echo_call(side, mlp(tmp_path))
        with pytest.raises(LoadFailed, match="of 5 calls 0 ended, 0 of them with HTTP status 2xx"):
            drive(replace(call, port=1), Pressure(1, 1, 1.0, requests=5))


def test_cpu_time_of_a_process_that_has_ended_is_an_error() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(RuntimeError, match="has ended"):
        processes.cpu_s(ended.pid)


def test_a_side_that_fails_is_named_and_its_figures_have_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Load:
        raise LoadFailed("h2load ended with 1")

    def measure(_wanted: Wanted) -> Measured:
        alternate({"Kedge": fail}, 1)
        raise AssertionError

    monkeypatch.setattr(serving, "_MEASUREMENTS", {measure: frozenset({"mlp"})})
    monkeypatch.setattr(serving, "why_no_h2load", lambda: None)
    assert serving.main(["--figures", "mlp"]) == 1
    assert "failed  Kedge: h2load ended with 1" in capsys.readouterr().out


def test_peers_find_a_cache_that_was_given_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are started in directories of their own."""
    caches: list[Path] = []

    def measure(wanted: Wanted) -> Measured:
        caches.append(wanted.cache)
        return Measured((), ())

    monkeypatch.setattr(serving, "_MEASUREMENTS", {measure: frozenset({"mlp"})})
    monkeypatch.setattr(serving, "why_no_h2load", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert serving.main(["--figures", "mlp", "--cache", "build/serving"]) == 0
    assert caches == [tmp_path / "build" / "serving"]


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        serving.main(["--peers", "torchserve"])
    assert "unknown peer 'torchserve'; known: kserve, mlserver, triton" in capsys.readouterr().err
