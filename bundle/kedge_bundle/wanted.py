"""What somebody asks of a runtime, made into the options that an artifact then runs with."""

from dataclasses import dataclass
from typing import Literal

from kedge_bundle.manifest import Artifact, RuntimeOptions


@dataclass(frozen=True)
class WantedOptions:
    """Runtime options that stand in for those proven; None leaves an artifact's own."""

    device: Literal["cpu", "gpu"] | None = None
    threads: int | None = None
    graph_optimization: Literal["all", "disabled"] | None = None
    tf32: bool | None = None
    tensorrt: bool | None = None

    def of(self, artifact: Artifact) -> RuntimeOptions:
        """The options to run an artifact with; what its device or its runtime does not have is off."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        options = artifact.options.model_copy(update=given)
        is_on_gpu = options.device == "gpu"
        has_tensorrt = is_on_gpu and artifact.format == "onnx"
        return options.model_copy(
            update={"tf32": options.tf32 and is_on_gpu, "tensorrt": options.tensorrt and has_tensorrt}
        )
