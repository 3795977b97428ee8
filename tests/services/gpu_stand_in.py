"""A CPU that says it is a GPU: what onnxruntime tells and does with CUDA, where no machine of the tests has any.

It stands in for onnxruntime itself, so everything of Kedge's runs: the options it asks for, what it makes of the
session's answers, the bound inputs, the texts of errors. What CUDA computes and how fast, it cannot show.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

ROOT = Path(__file__).parents[2]

DEADLY = 700.0
"""An input with this value makes a kernel write where it must not; the context is dead from then on."""

OUT_OF_MEMORY = 200.0
"""An input with this value finds no room on the device; the next run may."""

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"

_TEXTS = {DEADLY: "700: an illegal memory access was encountered", OUT_OF_MEMORY: "2: out of memory"}
_WHERE = "; GPU=0 ; hostname=box ; file=/onnxruntime_src/cuda_call.cc ; line=129 ; expr=cudaStreamSynchronize(stream)"


class GpuStandIn:
    """The device of one process.

    Attributes:
        told: what a session says of its first GPU provider where it is not what was asked for.
        placed_on: the execution provider that a session says its nodes are on.
        refuses: what opening a session on the GPU raises; empty: nothing.
        bound: how many inputs were copied to the device.
    """

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.placed_on = CUDA
        self.refuses = ""
        self.bound = 0
        self._failing = 0.0

    def install(self, set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
        """Put this device where onnxruntime would be asked for one."""
        set_attribute(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
        set_attribute(onnxruntime, "preload_dlls", lambda: None)
        set_attribute(onnxruntime, "InferenceSession", self._session_class())
        real = onnxruntime.OrtValue.ortvalue_from_numpy

        def ortvalue_from_numpy(array: np.ndarray, device: str, number: int) -> onnxruntime.OrtValue:
            if device != "cuda":
                return real(array, device, number)
            self._fail_if_lost()
            self.bound += 1
            self._failing = next((value for value in _TEXTS if (array == value).any()), self._failing)
            return real(array, "cpu", number)

        set_attribute(onnxruntime.OrtValue, "ortvalue_from_numpy", staticmethod(ortvalue_from_numpy))

    def _fail_if_lost(self) -> None:
        if self._failing:
            text = f"[ONNXRuntimeError] : 1 : FAIL : CUDA failure {_TEXTS[self._failing]} {_WHERE}"
            if self._failing == OUT_OF_MEMORY:
                self._failing = 0.0
            raise RuntimeError(text)

    def _session_class(self) -> type[onnxruntime.InferenceSession]:
        device = self

        class Session(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime ships no types
            def __init__(self, path: Path, options: Any, providers: Sequence[Any], **rest: Any) -> None:  # noqa: ANN401
                self._on_gpu = {given[0]: dict(given[1]) for given in providers if given[0] in (TENSORRT, CUDA)}
                if self._on_gpu and device.refuses:
                    raise RuntimeError(device.refuses)
                super().__init__(path, options, providers=[CPU], **rest)

            def get_providers(self) -> list[str]:
                return [*self._on_gpu, CPU]

            def get_provider_options(self) -> dict[str, dict[str, str]]:
                told = {name: dict(options) for name, options in self._on_gpu.items()}
                if told:
                    told[next(iter(told))] |= device.told
                return {**told, CPU: {}}

            def get_provider_graph_assignment_info(self) -> list[Any]:
                parts = super().get_provider_graph_assignment_info()
                return [SimpleNamespace(ep_name=device.placed_on, get_nodes=part.get_nodes) for part in parts]

            def run_with_iobinding(self, binding: Any, options: Any = None) -> None:  # noqa: ANN401
                device._fail_if_lost()
                super().run_with_iobinding(binding, options)

        return Session


def serve_model_with_gpu(directory: Path) -> Path:
    """Write a `serve-model` into `directory` that finds this device, unless CUDA_VISIBLE_DEVICES hides it.

    For `started_server(command=...)`.
    """
    path = directory / "serve-model-with-gpu"
    path.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')\n"
        "from tests.services.gpu_stand_in import GpuStandIn\n"
        "if os.environ.get('CUDA_VISIBLE_DEVICES') != '-1':\n"
        "    GpuStandIn().install()\n"
        "from kedge_server.cli import main\n"
        "sys.exit(main())\n"
    )
    path.chmod(0o755)
    return path
