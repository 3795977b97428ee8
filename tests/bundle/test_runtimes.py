import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.errors import ArtifactUnloadable, DeviceUnavailable, RunFailed
from kedge_bundle.manifest import RuntimeOptions
from kedge_bundle.replay import replay, verify
from kedge_bundle.runtimes import is_installed, open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle, open_bundle
from tests.services import bundles


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.publish(bundles.two_output(), tmp_path_factory.mktemp("models"), "two")


@pytest.fixture(scope="module")
def runtime(bundle: Bundle) -> Runtime:
    return open_runtime(bundle, bundle.manifest.artifacts[0])


def inputs(rows: int) -> dict[str, np.ndarray]:
    return {"b": np.ones((rows, 3), np.float32), "a": np.full((rows, 3), 3, np.float32)}


def test_answers_come_by_name_in_the_signatures_order(runtime: Runtime):
    outputs = runtime.run(inputs(5))
    assert list(outputs) == ["total", "difference"]
    np.testing.assert_array_equal(outputs["total"], np.full((5, 3), 8, np.float32))
    np.testing.assert_array_equal(outputs["difference"], np.full((5, 3), 2, np.float32))


def test_the_device_is_the_runtimes_own_account(runtime: Runtime):
    assert runtime.device == "cpu"


@pytest.mark.parametrize("given", [{}, {"a": np.ones((1, 3), np.float32)}, {**inputs(1), "c": np.ones(1)}])
def test_missing_and_unknown_inputs_fail_the_run(runtime: Runtime, given: dict):
    with pytest.raises(RunFailed, match="expected the inputs"):
        runtime.run(given)


def test_a_runtimes_own_error_becomes_run_failed(runtime: Runtime):
    with pytest.raises(RunFailed, match="onnx: "):
        runtime.run({"a": np.ones((2, 3), np.float32), "b": np.ones((5, 7), np.float32)})


def test_a_gpu_that_is_not_in_use_is_an_error_not_a_fallback(bundle: Bundle):
    with pytest.raises(DeviceUnavailable, match="the GPU was asked for"):
        open_runtime(bundle, bundle.manifest.artifacts[0], RuntimeOptions(device="gpu"))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, bundle: Bundle):
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    broken = Bundle(tmp_path, bundle.manifest)
    with pytest.raises(ArtifactUnloadable, match=r"refuses model\.onnx"):
        open_runtime(broken, bundle.manifest.artifacts[0])


def test_a_fixed_batch_is_run_piece_by_piece(bundle: Bundle):
    fixed = bundle.manifest.artifacts[0].model_copy(update={"batch": 2})
    runtime = open_runtime(bundle, fixed)
    values = np.arange(18, dtype=np.float32).reshape(6, 3)
    np.testing.assert_array_equal(runtime.run({"a": values, "b": values})["total"], 4 * values)
    with pytest.raises(RunFailed, match="runs 2 rows at a time, got 3"):
        runtime.run(inputs(3))


def test_an_answer_that_breaks_the_signature_fails_the_run(bundle: Bundle):
    signature = bundle.manifest.signature
    wrong = signature.model_copy(
        update={"outputs": (signature.outputs[0].model_copy(update={"dtype": "float64"}), signature.outputs[1])}
    )
    broken = Bundle(bundle.directory, bundle.manifest.model_copy(update={"signature": wrong}))
    with pytest.raises(RunFailed, match="came as float32, the signature says float64"):
        open_runtime(broken, bundle.manifest.artifacts[0]).run(inputs(1))


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int32", "int64", "uint8", "bool", "string"])
def test_every_dtype_goes_in_and_comes_out(tmp_path: Path, dtype: str):
    bundle = bundles.publish(bundles.identity(dtype), tmp_path, "identity")
    report = verify(bundle, bundle.manifest.artifacts[0])
    assert report.verdict == "bit-exact"


def test_the_unoptimised_graph_answers_the_same(bundle: Bundle):
    plain = RuntimeOptions(graph_optimization="disabled", threads=2)
    assert verify(bundle, bundle.manifest.artifacts[0], plain).is_proven


def test_a_run_that_fails_is_a_failed_case_not_a_pass(bundle: Bundle, runtime: Runtime):
    case = bundle.golden[0]
    broken = type(case)("broken", {"a": case.inputs["a"]}, case.outputs)
    report = replay(runtime, [case, broken], bundle.manifest.judge([case, broken]))
    assert not report.is_proven
    assert "case 'broken': expected the inputs" in report.first_failure()


def test_other_weights_are_noticed(tmp_path: Path):
    bundles.publish(bundles.two_output(scale=2.0), tmp_path, "two")
    other = bundles.publish(bundles.two_output(scale=2.001), tmp_path, "two")
    honest = open_bundle(tmp_path / "two" / "1")
    report = verify(Bundle(other.directory, honest.manifest), honest.manifest.artifacts[0])
    assert report.is_proven, "golden answers come from the directory, so they fit the weights beside them"
    mixed = Bundle(honest.directory, honest.manifest)
    (honest.directory / "model.onnx").write_bytes((other.directory / "model.onnx").read_bytes())
    report = verify(mixed, honest.manifest.artifacts[0])
    assert report.verdict == "failed"
    assert "output 'total'" in report.first_failure()


def test_the_installed_runtimes_are_known():
    assert is_installed("onnx")


def test_onnxruntime_reports_to_nobody(bundle: Bundle, tmp_path: Path):
    # It would leave a device id and a queue of events in the user's cache.
    done = subprocess.run(
        [Path(sys.executable).with_name("verify-model"), bundle.directory],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_threads_that_load_at_once_import_one_after_the_other(monkeypatch: pytest.MonkeyPatch):
    """What an import sets in the environment is everybody's."""
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)

    def slow(_: str) -> None:
        time.sleep(0.05)

    monkeypatch.setattr("kedge_bundle.runtimes.import_module", slow)
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda number: (time.sleep(0.02 * number), is_installed("onnx"))[1], range(4)))
    assert "TF_USE_LEGACY_KERAS" not in os.environ
