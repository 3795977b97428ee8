"""ONNX artifacts in onnxruntime, on the CPU, on CUDA, or on CUDA and TensorRT."""

import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from kedge_bundle.cases import as_tensor
from kedge_bundle.errors import ArtifactUnloadable, DeviceUnavailable
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.runtimes.onnx_external import external_files
from kedge_bundle.signature import Tensors

_GRAPH_OPTIMIZATION = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "disabled": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_ERRORS_ONLY = 3
_TENSORRT, _CUDA, _CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
_FEWER_BITS = {"trt_fp16_enable": "0", "trt_bf16_enable": "0", "trt_int8_enable": "0"}
"""What TensorRT may do beside TensorFloat-32. Named, or onnxruntime would take it from the environment."""


class OnnxRuntime(Runtime):
    """An onnxruntime session; safe to run from several threads.

    Attributes:
        placement: on a GPU, how many nodes of the graph each execution provider has, by the session's own account.
    """

    is_thread_safe: ClassVar[bool] = True
    placement: dict[str, int]

    def _load(self, path: Path) -> None:
        self._check_reads_listed_files(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.options.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = _GRAPH_OPTIMIZATION[self.options.graph_optimization]
        options.log_severity_level = _ERRORS_ONLY
        # Idle threads that spin steal the cores of everything else on the box (onnxruntime PR 11841).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._output_names = list(self.artifact.outputs.values())
        self._is_bound = False
        if self.options.device == "cpu":
            self._session, self.device = self._open(path, options, [_CPU]), "cpu"
            return
        if self.options.tensorrt and not self.options.tf32:
            raise DeviceUnavailable(
                "TensorRT was asked for without TensorFloat-32, and onnxruntime has no option that would keep it from "
                "rounding to it: ask for both (--tensorrt on --tf32 on), or for CUDA alone"
            )
        _prepare_cuda()
        self._session = self._open_on_gpu(path, options)
        self.placement = _placement(self._session)
        self.device = self._gpu_in_use(path)
        # Strings cannot be bound; the session then finds out on each run what has to be copied where.
        self._is_bound = all(s.dtype != "string" for s in (*self.signature.inputs, *self.signature.outputs))

    def _open(self, path: Path, options: onnxruntime.SessionOptions, providers: list[Any]) -> Any:  # noqa: ANN401 (as below)
        """Open a session without onnxruntime's fallback: it would go on with the CPU and tell nobody (issue 17801)."""
        try:
            return onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
        except Exception as error:  # onnxruntime's exception types share no public base
            raise ArtifactUnloadable(f"onnxruntime {onnxruntime.__version__} refuses {path.name}: {error}") from error

    def _open_on_gpu(self, path: Path, options: onnxruntime.SessionOptions) -> Any:  # noqa: ANN401 (it ships no types)
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        providers: list[Any] = [(_CUDA, {"device_id": "0", "use_tf32": _flag(self.options.tf32)}), _CPU]
        if self.options.tensorrt:
            providers.insert(0, (_TENSORRT, {"device_id": "0", **_FEWER_BITS}))
        try:
            return self._open(path, options, providers)
        except ArtifactUnloadable as error:
            self._open(path, options, [_CPU])  # raises where it is the file that is refused
            raise DeviceUnavailable(
                f"the GPU was asked for, and {path.name} loads on the CPU alone: {error}"
            ) from error

    def _gpu_in_use(self, path: Path) -> str:
        """The GPU by the session's own account; DeviceUnavailable where it uses none, or another way than asked for.

        `get_available_providers()` promises what was compiled in; only the session knows what it got (issue 23372).
        """
        in_use = self._session.get_providers()
        if _CUDA not in in_use:
            raise DeviceUnavailable(
                f"the GPU was asked for, but after loading {path.name} onnxruntime uses {', '.join(in_use)}; "
                "the CUDA or cuDNN libraries did not load, or there is no CUDA device"
            )
        if self.placement and self.placement.keys() <= {_CPU}:
            raise DeviceUnavailable(f"the GPU was asked for, but onnxruntime runs every node of {path.name} on the CPU")
        if self.options.tensorrt:
            self._check_tensorrt_in_use(path)
        told = self._session.get_provider_options()[_CUDA]
        if told.get("use_tf32") != _flag(self.options.tf32):
            raise DeviceUnavailable(
                f"TensorFloat-32 was asked to be {'on' if self.options.tf32 else 'off'}, but after loading {path.name} "
                f"onnxruntime says use_tf32 = {told.get('use_tf32')}"
            )
        return f"cuda:{told['device_id']}"

    def _check_tensorrt_in_use(self, path: Path) -> None:
        told = self._session.get_provider_options().get(_TENSORRT)
        if told is None or (self.placement and _TENSORRT not in self.placement):
            nodes = ", ".join(f"{name} {count}" for name, count in self.placement.items())
            raise DeviceUnavailable(f"TensorRT was asked for, but it takes no node of {path.name}: {nodes}")
        more = [f"{name} = {told.get(name)}" for name, value in _FEWER_BITS.items() if told.get(name) != value]
        if more:
            raise DeviceUnavailable(
                f"TensorRT was asked for without half precision or integers, but after loading {path.name} onnxruntime "
                f"says {', '.join(more)}"
            )

    def _check_reads_listed_files(self, path: Path) -> None:
        """Refuse weights in files beside the model that no hash of the manifest answers for."""
        try:
            named = external_files(path)
        except (OSError, ValueError) as error:
            raise ArtifactUnloadable(f"Kedge refuses {path.name}: no ONNX model: {error}") from error
        home = Path(self.artifact.main_path).parent
        unlisted = [name for name in named if (home / name).as_posix() not in {f.path for f in self.artifact.files}]
        if unlisted:
            raise ArtifactUnloadable(
                f"Kedge refuses {path.name}: it keeps values in '{unlisted[0]}', which the manifest does not list; "
                "export the model again"
            )

    def _run(self, inputs: Tensors) -> Tensors:
        feeds: dict[str, Any] = {self.artifact.inputs[name]: _to_onnx(array) for name, array in inputs.items()}
        answers = self._run_bound(feeds) if self._is_bound else self._session.run(self._output_names, feeds)
        return {
            name: as_tensor(np.asarray(answer)) if answer.dtype != object else _strings(answer)
            for name, answer in zip(self.artifact.outputs, answers, strict=True)
        }

    def _run_bound(self, feeds: dict[str, Any]) -> list[Any]:
        """Run with the inputs copied to the device first, and the outputs copied to the CPU as part of the run."""
        device, _, number = self.device.partition(":")
        binding = self._session.io_binding()
        for name, array in feeds.items():
            laid_out = np.asarray(array, order="C")  # `ascontiguousarray` would make a vector of a scalar
            value = onnxruntime.OrtValue.ortvalue_from_numpy(laid_out, device, int(number))
            binding.bind_ortvalue_input(name, value)
        for name in self._output_names:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())


def _placement(session: Any) -> dict[str, int]:  # noqa: ANN401 (onnxruntime ships no types)
    nodes = Counter[str]()
    for part in session.get_provider_graph_assignment_info():
        nodes[part.ep_name] += len(part.get_nodes())
    return dict(nodes)


def _flag(is_on: bool) -> str:  # noqa: FBT001 (it is what the option's text says)
    return "1" if is_on else "0"


def _prepare_cuda() -> None:
    """Find the CUDA libraries of the Python packages, or explain that this build has none."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise DeviceUnavailable(
            "the GPU was asked for, but this onnxruntime was built without CUDA; install kedge[onnx-gpu] instead of "
            "kedge[onnx]"
        )
    # It prints what does not load, where `--json` prints its document. This moves the standard output of every thread,
    # and two that load at once may leave it moved: only a server has such threads, and it says nothing there.
    with contextlib.redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls()


def _to_onnx(array: NDArray[Any]) -> NDArray[Any]:
    """Strings travel into onnxruntime as str; everything else as it is."""
    if array.dtype != object:
        return array
    return np.array([item.decode("utf-8") for item in array.ravel()], object).reshape(array.shape)


def _strings(array: NDArray[Any]) -> NDArray[Any]:
    return np.array([str(item).encode("utf-8") for item in array.ravel()], object).reshape(array.shape)
