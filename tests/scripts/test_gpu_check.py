"""The check for machines with a GPU, where there is none: what it says then, and its parts against a stand-in."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx import TensorProto, helper

from kedge_bundle.machine import Gpu
from kedge_bundle.manifest import write_manifest
from kedge_bundle.store import Bundle
from tests.services.bundles import TinyModel, identity, publish, two_output
from tests.services.gpu_stand_in import CPU, TENSORRT, GpuStandIn, serve_model_with_gpu

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
PAGE = ROOT / "docs" / "benchmarks.md"
H100 = Gpu(name="NVIDIA H100", compute_capability="9.0", cuda="13.0")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import gpu_check  # noqa: PLC0415 (a script, not a package)

    return gpu_check


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(two_output(), tmp_path / "models", "two")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, check: ModuleType, tmp_path: Path) -> GpuStandIn:
    """This process and the servers that it starts see a GPU, unless CUDA_VISIBLE_DEVICES hides it."""
    stand_in = GpuStandIn()
    stand_in.install(monkeypatch.setattr)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(check, "first_gpu", lambda: H100)
    monkeypatch.setattr("gpu_sides.SERVE_MODEL", serve_model_with_gpu(tmp_path))
    return stand_in


def test_without_a_gpu_it_says_so_in_a_sentence_and_ends_with_2(bundle: Bundle, tmp_path: Path):
    page = shutil.copy(PAGE, tmp_path / "page.md")
    done = subprocess.run(
        [sys.executable, SCRIPTS / "gpu_check.py", bundle.directory, "--write", page],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "gpu_check: no GPU can be used here, so nothing was checked: there is no libcuda.so.1, or it names no device\n"
    )
    assert page.read_text() == PAGE.read_text()


def test_a_gpu_without_the_wheels_is_told_apart(
    check: ModuleType, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(check, "first_gpu", lambda: H100)
    assert check.main([str(bundle.directory)]) == 2
    assert "this onnxruntime was built without CUDA; install kedge[onnx-gpu]" in capsys.readouterr().err


def test_a_bundle_that_cannot_be_read_is_told(check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert check.main([str(tmp_path / "nothing")]) == 3
    assert "nothing" in capsys.readouterr().err


@pytest.mark.usefixtures("gpu")
def test_parity_is_asked_with_tensorfloat_32_off_and_on(check: ModuleType, bundle: Bundle):
    table = check.parity([bundle])
    assert table.rows == [
        ("two/1", "onnx", "float32", "cuda:0", "bit-exact", "0.00e+00", ""),
        ("two/1", "onnx", "TF32", "cuda:0", "bit-exact", "0.00e+00", ""),
    ]
    assert table.problems == []


def test_tensorrt_is_tried_where_its_libraries_are(
    check: ModuleType, bundle: Bundle, gpu: GpuStandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(check, "_has_tensorrt", lambda: True)
    gpu.placed_on = TENSORRT
    assert [row[2:5] for row in check.parity([bundle]).rows] == [
        (word, "cuda:0", "bit-exact") for word in ("float32", "TF32", "TF32, TensorRT")
    ]
    (artifact,) = bundle.manifest.artifacts
    table = check.speed(bundle, artifact, "gpu", seconds=0.003)
    assert {row[1] for row in table.rows} == {
        side + more for side in ("bare onnxruntime", "Kedge's runtime") for more in ("", ", TF32", ", TF32, TensorRT")
    }


def test_what_is_not_proven_is_a_problem(check: ModuleType, bundle: Bundle, gpu: GpuStandIn):
    gpu.placed_on = CPU
    table = check.parity([bundle])
    assert [row[4] for row in table.rows] == ["failed", "failed"]
    (problem,) = table.problems
    assert "two/1: onnx is not proven: the GPU was asked for" in problem
    assert f"**{problem}**" in table.markdown()


def test_both_sides_are_timed_for_every_batch(check: ModuleType, bundle: Bundle):
    (artifact,) = bundle.manifest.artifacts
    table = check.speed(bundle, artifact, "cpu", seconds=0.003)
    assert [row[:2] for row in table.rows] == [
        (rows, side) for rows in ("1", "8", "32") for side in ("bare onnxruntime", "Kedge's runtime")
    ]
    assert {row[5] for row in table.rows[::2]} == {"1.00"}
    assert all(float(cell) > 0 for row in table.rows for cell in row[2:5])


def test_a_server_is_timed_and_its_device_is_told(check: ModuleType, bundle: Bundle):
    table = check.served(bundle, "cpu", seconds=0.05)
    assert [(row[0], row[1], row[5]) for row in table.rows] == [("1", "1", "cpu"), ("8", "1", "cpu")]
    assert all(float(cell) > 0 for row in table.rows for cell in row[2:5])
    assert table.problems == []


def test_a_hidden_gpu_is_no_quiet_cpu(check: ModuleType, bundle: Bundle):
    table = check.hidden(bundle)
    assert [(command, did) for command, _, did, _ in table.rows] == [
        ("verify-model --device gpu", "end with 4"),
        ("serve-model --device gpu", "end with 4"),
        ("serve-model --device auto", "serve on the cpu and say why"),
    ]
    assert all(said for *_, said in table.rows)
    assert table.problems == []


def test_a_server_that_takes_the_cpu_in_silence_is_a_problem(check: ModuleType):
    table = check.Table("t", ("command", "must", "did", "what it said"))
    check._must(table, "serve-model --device gpu", "end with 4", "end with None", "")
    assert table.problems == ["serve-model --device gpu must end with 4, and did end with None: "]


@pytest.mark.usefixtures("gpu")
def test_the_whole_check_rewrites_the_page_between_its_markers(
    check: ModuleType, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = Path(shutil.copy(PAGE, tmp_path / "page.md"))
    assert check.main([str(bundle.directory), "--seconds", "0.01", "--write", str(page)]) == 0
    before, after = PAGE.read_text("utf-8"), page.read_text("utf-8")
    assert after.partition(check.BEGIN)[0] == before.partition(check.BEGIN)[0]
    assert "Not yet run" not in after
    printed = capsys.readouterr().out
    assert printed.strip() in after
    assert "NVIDIA H100" in printed
    assert "Kedge's runtime, TF32" in printed
    titles = re.findall(r"^### (.*)$", printed, re.MULTILINE)
    assert titles == [
        "Machine",
        "Parity",
        "Speed of two/1, in process",
        "Speed of two/1, served",
        "Where the GPU is hidden (`CUDA_VISIBLE_DEVICES=-1`)",
    ]


def test_a_page_without_markers_is_refused(check: ModuleType, tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="expected the markers"):
        check.write_page(page, "tables")
    assert page.read_text() == "nothing\n"


@pytest.fixture
def wrong(tmp_path: Path) -> Bundle:
    """A bundle whose artifact does not answer as its golden answers say."""
    model = two_output()
    lying = replace(model, answer=lambda inputs: {name: array + 1 for name, array in model.answer(inputs).items()})
    return publish(lying, tmp_path / "models", "wrong")


@pytest.mark.usefixtures("gpu")
def test_what_is_wrong_is_named_and_everything_else_is_still_looked_at(
    check: ModuleType, bundle: Bundle, wrong: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = Path(shutil.copy(PAGE, tmp_path / "page.md"))
    command = [str(wrong.directory), str(bundle.directory), "--seconds", "0.01", "--write", str(page)]
    assert check.main(command) == 1
    printed = capsys.readouterr().out
    assert "**wrong/1: onnx is not proven: " in printed
    assert "**wrong/1 is not served: serve-model ended:" in printed
    assert re.search(r"\| 8 \| 1 \| [\d.]+ \| [\d.]+ \| \d+ \| cuda:0 \|", printed), "the other one is timed"
    assert "### Where the GPU is hidden" in printed
    assert printed.strip() in page.read_text("utf-8")


def test_a_bundle_that_the_gpu_refuses_is_named_where_it_would_be_timed(
    check: ModuleType, bundle: Bundle, gpu: GpuStandIn
):
    (artifact,) = bundle.manifest.artifacts
    gpu.placed_on = CPU
    table = check.speed(bundle, artifact, "gpu", seconds=0.003)
    assert [row[2:] for row in table.rows] == [("-",) * 4] * 6
    assert table.problems[0].startswith("two/1: onnx cannot be timed: the GPU was asked for")
    assert len(table.problems) == 3  # one for each number of rows; of TF32 nothing is promised


def test_tensorrt_that_takes_nothing_keeps_nothing_else_from_being_timed(
    check: ModuleType, bundle: Bundle, gpu: GpuStandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(check, "_has_tensorrt", lambda: True)
    assert gpu.placed_on != TENSORRT
    (artifact,) = bundle.manifest.artifacts
    table = check.speed(bundle, artifact, "gpu", seconds=0.003)
    assert [row[2] == "-" for row in table.rows] == [False, False, False, False, True] * 3
    assert table.problems == []


@pytest.fixture
def eight_rows_only(tmp_path: Path) -> Bundle:
    """A bundle that says it takes any number of rows and takes eight: fewer it answers with eight, more it refuses."""
    nodes = [helper.make_node("Add", ["x", "ones"], ["y"])]
    ones = helper.make_tensor("ones", TensorProto.FLOAT, [8, 4], np.ones(32, np.float32))
    golden = {"x": np.zeros((8, 4), np.float32)}
    model = TinyModel(identity().signature, nodes, lambda inputs: {"y": inputs["x"] + 1}, golden, (ones,))
    return publish(model, tmp_path / "models", "eight")


def test_a_run_that_fails_is_named_and_the_others_are_timed(check: ModuleType, eight_rows_only: Bundle):
    (artifact,) = eight_rows_only.manifest.artifacts
    table = check.speed(eight_rows_only, artifact, "cpu", seconds=0.003)
    assert [(row[0], row[2] == "-") for row in table.rows] == [("1", True), ("8", False), ("8", False), ("32", True)]
    fewer, more = table.problems
    assert fewer == "eight/1: onnx cannot be timed: the output 'y' came with shape (8, 4) for 1 rows"
    assert more.startswith("eight/1: onnx cannot be timed: [ONNXRuntimeError] : 1 : FAIL"), "bare onnxruntime says it"


def test_a_server_that_says_nothing_is_named_beside_what_else_was_looked_at(
    check: ModuleType, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gpu_sides.SERVE_MODEL", shutil.which("false"))
    table = check.hidden(bundle)
    assert [row[0] for row in table.rows] == ["verify-model --device gpu"]
    assert table.problems == [
        f"serve-model --device {device} broke off: ServerEnded: serve-model ended:" for device in ("gpu", "auto")
    ]


def test_what_breaks_off_within_a_check_keeps_its_other_rows(check: ModuleType):
    table = check.Table("Parity", ("model",), [("two/1",)])
    with table.naming("three/1 onnx float32"):
        raise RuntimeError("CUDA failure 719")
    assert table.rows == [("two/1",)]
    assert table.problems == ["three/1 onnx float32 broke off: RuntimeError: CUDA failure 719"]


def test_a_message_of_several_lines_breaks_no_cell_and_no_problem(check: ModuleType):
    table = check.Table("Parity", ("why",), [("no kernel\nfor | it\n",)], ["serve-model ended:\n\n{}\n"])
    assert table.markdown().splitlines()[-3:] == [r"| no kernel for \| it |", "", "**serve-model ended: {}**"]


def test_a_check_that_breaks_off_is_named(check: ModuleType):
    def parity() -> None:
        raise RuntimeError("CUDA failure 719")

    table = check.tried(parity)
    assert table.problems == ["parity broke off: RuntimeError: CUDA failure 719"]


@pytest.mark.usefixtures("gpu")
def test_the_gpu_is_looked_for_with_a_bundle_that_can_run_there(check: ModuleType, bundle: Bundle, wrong: Bundle):
    (artifact,) = wrong.manifest.artifacts
    other = artifact.model_copy(update={"format": "tflite"})
    write_manifest(wrong.directory, wrong.manifest.model_copy(update={"artifacts": (other,)}))
    assert check.main([str(wrong.directory), str(bundle.directory), "--seconds", "0.01"]) == 0


def test_a_first_bundle_that_the_gpu_refuses_does_not_mean_that_there_is_none(
    check: ModuleType, bundle: Bundle, wrong: Bundle, gpu: GpuStandIn
):
    (wrong.directory / "model.onnx").write_bytes(b"not a model")
    assert check.why_no_gpu([wrong, bundle]) == ""
    gpu.placed_on = CPU
    assert "runs every node of model.onnx on the CPU" in check.why_no_gpu([wrong, bundle])


def test_only_waiting_for_what_a_server_says_has_an_end(
    check: ModuleType, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    def may_wait(seconds: float) -> None:
        monkeypatch.setattr("gpu_sides.START_S", seconds)

    may_wait(0.2)
    with check.server_of(bundle, "--device", "cpu") as server:
        may_wait(60.0)
        server.event("model_loaded")
        may_wait(2.0)
        server.event("ready")
        time.sleep(2.5)
        assert server.process.poll() is None
        with pytest.raises(check.ServerEnded):
            server.event("never said")
        may_wait(60.0)  # for its end
