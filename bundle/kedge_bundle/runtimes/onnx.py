"""ONNX artifacts in onnxruntime, on the CPU or on CUDA."""

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


class OnnxRuntime(Runtime):
    """An onnxruntime session; safe to run from several threads."""

    is_thread_safe: ClassVar[bool] = True

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
        wants_gpu = self.options.device == "gpu"
        providers = ["CUDAExecutionProvider", "CPUExecutionProvider"] if wants_gpu else ["CPUExecutionProvider"]
        if wants_gpu:
            _prepare_cuda()
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # onnxruntime's exception types share no public base
            raise ArtifactUnloadable(f"onnxruntime {onnxruntime.__version__} refuses {path.name}: {error}") from error
        # get_available_providers() promises what was compiled in; only the session knows what it got (issue 23372).
        in_use = self._session.get_providers()
        if wants_gpu and "CUDAExecutionProvider" not in in_use:
            raise DeviceUnavailable(
                f"the GPU was asked for, but after loading {path.name} onnxruntime uses {', '.join(in_use)}; "
                "the CUDA or cuDNN libraries did not load, or there is no CUDA device"
            )
        self.device = "cuda:0" if "CUDAExecutionProvider" in in_use else "cpu"
        self._output_names = list(self.artifact.outputs.values())

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
        answers = self._session.run(self._output_names, feeds)
        return {
            name: as_tensor(np.asarray(answer)) if answer.dtype != object else _strings(answer)
            for name, answer in zip(self.artifact.outputs, answers, strict=True)
        }


def _prepare_cuda() -> None:
    """Find the CUDA libraries of the Python packages, or explain that this build has none."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise DeviceUnavailable(
            "the GPU was asked for, but this onnxruntime was built without CUDA; install kedge[onnx-gpu] instead of "
            "kedge[onnx]"
        )
    onnxruntime.preload_dlls()


def _to_onnx(array: NDArray[Any]) -> NDArray[Any]:
    """Strings travel into onnxruntime as str; everything else as it is."""
    if array.dtype != object:
        return array
    return np.array([item.decode("utf-8") for item in array.ravel()], object).reshape(array.shape)


def _strings(array: NDArray[Any]) -> NDArray[Any]:
    return np.array([str(item).encode("utf-8") for item in array.ravel()], object).reshape(array.shape)
