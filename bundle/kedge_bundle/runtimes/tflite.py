"""TFLite artifacts in LiteRT (`ai-edge-litert`), on the CPU, builtin ops only."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from kedge_bundle.cases import as_tensor
from kedge_bundle.errors import ArtifactUnloadable, DeviceUnavailable
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors


class TfliteRuntime(Runtime):
    """One interpreter: one run at a time, since its tensors live inside it."""

    is_thread_safe: ClassVar[bool] = False

    def _load(self, path: Path) -> None:
        if self.options.device == "gpu":
            raise DeviceUnavailable("the GPU was asked for, but LiteRT runs TFLite artifacts on the CPU here")
        resolver = (
            OpResolverType.AUTO
            if self.options.graph_optimization == "all"
            else (OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        )
        try:
            self._interpreter = Interpreter(
                model_path=str(path), num_threads=self.options.threads, experimental_op_resolver_type=resolver
            )
            self._runner = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise ArtifactUnloadable(f"LiteRT refuses {path.name}: {error}") from error
        self.device = "cpu"

    def _run(self, inputs: Tensors) -> Tensors:
        # Strings go in as they are: numpy's fixed-width bytes would lose the zero bytes that a string ends with.
        answers = self._runner(**{self.artifact.inputs[name]: array for name, array in inputs.items()})
        return {name: as_tensor(np.asarray(answers[own])) for name, own in self.artifact.outputs.items()}
