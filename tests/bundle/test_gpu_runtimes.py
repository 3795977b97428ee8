"""The runtimes on a GPU, as far as that can be tried where there is none: see `tests/services/gpu_stand_in.py`."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from kedge_bundle.errors import ArtifactUnloadable, DeviceLost, DeviceUnavailable, RunFailed
from kedge_bundle.manifest import RuntimeOptions
from kedge_bundle.replay import verify
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.runtimes.onnx import OnnxRuntime, _placement
from kedge_bundle.store import Bundle
from tests.services.bundles import identity, publish, two_output
from tests.services.gpu_stand_in import CPU, CUDA, DEADLY, OUT_OF_MEMORY, TENSORRT, GpuStandIn

ON_GPU = RuntimeOptions(device="gpu")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> GpuStandIn:
    stand_in = GpuStandIn()
    stand_in.install(monkeypatch.setattr)
    return stand_in


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(two_output(), tmp_path, "two")


def on_gpu(bundle: Bundle, options: RuntimeOptions = ON_GPU) -> Runtime:
    return open_runtime(bundle, bundle.manifest.artifacts[0], options)


def inputs(value: float = 1.0, rows: int = 2) -> dict[str, np.ndarray]:
    return {name: np.full((rows, 3), value, np.float32) for name in "ab"}


def test_what_is_in_use_is_what_the_session_says(gpu: GpuStandIn, bundle: Bundle):
    runtime = on_gpu(bundle)
    assert runtime.device == "cuda:0"
    assert isinstance(runtime, OnnxRuntime)
    assert runtime.placement == {CUDA: 3}
    gpu.told = {"device_id": "1"}
    assert on_gpu(bundle).device == "cuda:1"


def test_a_session_that_leaves_every_node_on_the_cpu_is_no_gpu(gpu: GpuStandIn, bundle: Bundle):
    gpu.placed_on = CPU
    with pytest.raises(DeviceUnavailable, match=r"runs every node of model\.onnx on the CPU"):
        on_gpu(bundle)


def test_tensorfloat_32_is_off_unless_it_is_asked_for_and_the_session_is_asked(gpu: GpuStandIn, bundle: Bundle):
    wanted = ON_GPU.model_copy(update={"tf32": True})
    for options, said in ((ON_GPU, "0"), (wanted, "1")):
        assert on_gpu(bundle, options)._session.get_provider_options()[CUDA]["use_tf32"] == said
    gpu.told = {"use_tf32": "1"}
    with pytest.raises(DeviceUnavailable, match=r"asked to be off, but after loading model\.onnx .* use_tf32 = 1"):
        on_gpu(bundle)


WITH_TENSORRT = ON_GPU.model_copy(update={"tf32": True, "tensorrt": True})


def test_tensorrt_comes_before_cuda_where_it_is_asked_for(gpu: GpuStandIn, bundle: Bundle):
    assert TENSORRT not in on_gpu(bundle)._session.get_providers()
    gpu.placed_on = TENSORRT
    runtime = on_gpu(bundle, WITH_TENSORRT)
    assert runtime._session.get_providers() == [TENSORRT, CUDA, CPU]
    assert runtime.device == "cuda:0"
    assert runtime.placement == {TENSORRT: 3}
    assert verify(bundle, bundle.manifest.artifacts[0], WITH_TENSORRT).verdict == "bit-exact"


def test_tensorrt_that_takes_nothing_is_not_in_use(gpu: GpuStandIn, bundle: Bundle):
    assert gpu.placed_on == CUDA
    with pytest.raises(DeviceUnavailable, match=r"takes no node of model\.onnx: CUDAExecutionProvider 3"):
        on_gpu(bundle, WITH_TENSORRT)


def test_tensorrt_with_fewer_bits_than_was_asked_for_is_refused(gpu: GpuStandIn, bundle: Bundle):
    gpu.placed_on, gpu.told = TENSORRT, {"trt_fp16_enable": "1"}
    with pytest.raises(DeviceUnavailable, match="onnxruntime says trt_fp16_enable = 1"):
        on_gpu(bundle, WITH_TENSORRT)


@pytest.mark.usefixtures("gpu")
def test_tensorrt_cannot_be_kept_from_tensorfloat_32(bundle: Bundle):
    with pytest.raises(DeviceUnavailable, match=r"ask for both \(--tensorrt on --tf32 on\)"):
        on_gpu(bundle, WITH_TENSORRT.model_copy(update={"tf32": False}))


def test_a_gpu_that_cannot_be_used_is_not_the_files_fault_and_a_broken_file_not_the_gpus(
    gpu: GpuStandIn, bundle: Bundle, capfd: pytest.CaptureFixture[str]
):
    gpu.refuses = "CUDA failure 100: no CUDA-capable device is detected"
    with pytest.raises(DeviceUnavailable, match="CUDA failure 100"):
        on_gpu(bundle)
    (bundle.directory / "model.onnx").write_bytes(b"\x08\x0a")
    with pytest.raises(ArtifactUnloadable, match=r"refuses model\.onnx"):
        on_gpu(bundle)
    assert capfd.readouterr().out == ""


def test_no_session_falls_back_to_the_cpu_by_itself(bundle: Bundle, gpu: GpuStandIn):
    assert gpu.refuses == ""
    for options in (ON_GPU, RuntimeOptions()):
        assert not on_gpu(bundle, options)._session._enable_fallback


def test_bound_inputs_give_the_same_answers(gpu: GpuStandIn, bundle: Bundle):
    assert verify(bundle, bundle.manifest.artifacts[0], ON_GPU).verdict == "bit-exact"
    assert gpu.bound == 2
    values = np.arange(36, dtype=np.float32).reshape(12, 3)[::2]  # a view with gaps
    np.testing.assert_array_equal(on_gpu(bundle).run({"a": values, "b": values})["total"], 4 * values)
    fixed = bundle.manifest.artifacts[0].model_copy(update={"batch": 2})
    np.testing.assert_array_equal(
        open_runtime(bundle, fixed, ON_GPU).run({"a": values, "b": values})["total"], 4 * values
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int32", "int64", "uint8", "bool", "string"])
def test_every_dtype_goes_to_the_gpu_and_comes_back(gpu: GpuStandIn, tmp_path: Path, dtype: str):
    bundle = publish(identity(dtype), tmp_path, "identity")
    assert verify(bundle, bundle.manifest.artifacts[0], ON_GPU).verdict == "bit-exact"
    assert (gpu.bound > 0) == (dtype != "string"), "strings cannot be bound"


def test_the_cpu_is_not_bound(gpu: GpuStandIn, bundle: Bundle):
    on_gpu(bundle, RuntimeOptions()).run(inputs())
    assert gpu.bound == 0


@pytest.mark.usefixtures("gpu")
def test_a_dead_context_is_device_lost_from_then_on(bundle: Bundle):
    runtime = on_gpu(bundle)
    with pytest.raises(DeviceLost, match="CUDA failure 700"):
        runtime.run(inputs(DEADLY))
    with pytest.raises(DeviceLost):
        runtime.run(inputs())


@pytest.mark.usefixtures("gpu")
def test_too_little_memory_fails_one_run_only(bundle: Bundle):
    runtime = on_gpu(bundle)
    with pytest.raises(RunFailed, match="out of memory") as caught:
        runtime.run(inputs(OUT_OF_MEMORY))
    assert not isinstance(caught.value, DeviceLost)
    assert runtime.run(inputs())["total"].shape == (2, 3)


def test_the_same_text_is_no_lost_device_on_a_cpu(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

    runtime = on_gpu(bundle, RuntimeOptions())
    monkeypatch.setattr(runtime, "_run", fail)
    with pytest.raises(RunFailed) as caught:
        runtime.run(inputs())
    assert not isinstance(caught.value, DeviceLost)


def test_a_real_session_says_where_its_nodes_are(bundle: Bundle):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(bundle.directory / "model.onnx", options, providers=[CPU])
    assert _placement(session) == {CPU: 3}


class TensorflowConfig:
    """`tf.config` of a process that sees GPUs."""

    def __init__(self, *gpus: str, has_begun: bool = False) -> None:
        self.experimental = self
        self.growth = dict.fromkeys(gpus, False)
        self.tf32: bool | None = None
        self._has_begun = has_begun

    def list_physical_devices(self, _: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in self.growth]

    def set_memory_growth(self, gpu: SimpleNamespace, enable: bool) -> None:  # noqa: FBT001 (TensorFlow's own form)
        if self._has_begun:
            raise RuntimeError("Physical devices cannot be modified after being initialized")
        self.growth[gpu.name] = enable

    def get_memory_growth(self, gpu: SimpleNamespace) -> bool:
        return self.growth[gpu.name]

    def enable_tensor_float_32_execution(self, enabled: bool) -> None:  # noqa: FBT001 (as above)
        self.tf32 = enabled


def prepare_tensorflow(config: TensorflowConfig, monkeypatch: pytest.MonkeyPatch, *, has_tf32: bool = False) -> None:
    from kedge_bundle.runtimes import tensorflow  # noqa: PLC0415 (seconds, for these tests only)

    monkeypatch.setattr(tensorflow.tf, "config", config)
    tensorflow._prepare_gpu(has_tf32=has_tf32)


def test_tensorflow_takes_memory_as_it_needs_it_on_every_gpu(monkeypatch: pytest.MonkeyPatch):
    config = TensorflowConfig("GPU:0", "GPU:1")
    prepare_tensorflow(config, monkeypatch)
    assert (config.growth, config.tf32) == ({"GPU:0": True, "GPU:1": True}, False)
    prepare_tensorflow(config, monkeypatch, has_tf32=True)
    assert config.tf32 is True


def test_tensorflow_that_has_taken_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ArtifactUnloadable, match="TensorFlow has taken the memory of GPU:0"):
        prepare_tensorflow(TensorflowConfig("GPU:0", has_begun=True), monkeypatch)


def test_tensorflow_that_has_begun_with_memory_growth_is_fine(monkeypatch: pytest.MonkeyPatch):
    config = TensorflowConfig("GPU:0", has_begun=True)
    config.growth["GPU:0"] = True
    prepare_tensorflow(config, monkeypatch)


def test_tensorflow_without_a_gpu_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DeviceUnavailable, match=r"kedge\[tensorflow-gpu\]"):
        prepare_tensorflow(TensorflowConfig(), monkeypatch)


def test_tensorflows_session_is_asked_which_devices_it_has():
    from kedge_bundle.runtimes import tensorflow  # noqa: PLC0415 (as above)

    config = tensorflow._session_config(ON_GPU)
    assert config.gpu_options.allow_growth
    config.device_count["GPU"] = 0  # should this machine have one
    runtime = tensorflow.TensorflowRuntime.__new__(tensorflow.TensorflowRuntime)
    runtime.options = ON_GPU
    runtime._session = tensorflow.tf.compat.v1.Session(graph=tensorflow.tf.Graph(), config=config)
    with pytest.raises(
        DeviceUnavailable, match=r"TensorFlow's session has /job:localhost/replica:0/task:0/device:CPU:0"
    ):
        runtime._device_in_use()
    found = [SimpleNamespace(name=f"/job:localhost/replica:0/task:0/device:{kind}:0") for kind in ("CPU", "GPU")]
    runtime._session = SimpleNamespace(list_devices=lambda: found)
    assert runtime._device_in_use() == "cuda:0"


def test_a_scalar_stays_one(gpu: GpuStandIn, tmp_path: Path):
    scalar = publish(identity(shape=()), tmp_path, "scalar")
    answer = on_gpu(scalar).run({"x": np.array(2.5, np.float32)})["y"]
    assert (answer.shape, float(answer)) == ((), 2.5)
    assert gpu.bound == 1


def test_what_onnxruntime_prints_of_libraries_that_do_not_load_is_no_output(
    gpu: GpuStandIn, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: sys.stdout.write("Failed to load libcudnn.so.9\n"))
    assert on_gpu(bundle).device == "cuda:0"
    assert gpu.bound == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Failed to load libcudnn.so.9\n")
