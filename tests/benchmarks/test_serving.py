"""Whether the serving benchmark works; the measuring itself is `make serving-benchmark`."""

import json
from pathlib import Path

import pytest

from benchmarks import load, serving
from benchmarks.load import LoadFailed, Pressure, drive, quantile, stagger_ms
from benchmarks.serving_figures import Figure, Result
from benchmarks.serving_models import mlp
from benchmarks.serving_sides import INFER, echo, echo_call, infer_call, kedge

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


@pytest.mark.parametrize(("connections", "per_second"), [(8, 700.0), (8, 50.0), (16, 333.0)])
def test_staggered_connections_fill_the_gaps_between_each_others_calls(connections: int, per_second: float) -> None:
    period_ms, step_ms = connections * 1000 / per_second, stagger_ms(connections, per_second)
    begins = sorted(number * step_ms % period_ms for number in range(connections))
    gaps = [after - before for before, after in zip(begins, [*begins[1:], begins[0] + period_ms], strict=True)]
    assert min(gaps) > 0.4 * 1000 / per_second


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
