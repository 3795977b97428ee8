"""From a proven float32 artifact to a smaller one beside it, by the name of what is wanted."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kedge_bundle.manifest import Artifact, FormatName, Quantization
from kedge_bundle.signature import Tensors

if TYPE_CHECKING:
    from kedge_exporter.tracing import Frozen

_MODULES: dict[FormatName, str] = {
    "tflite": "kedge_exporter.formats.quantized_tflite",
    "onnx": "kedge_exporter.formats.quantized_onnx",
}


@dataclass(frozen=True)
class Task:
    """What to make.

    Attributes:
        origin: the proven float32 artifact of the same format.
        quantization: how to make it smaller.
        directory: where its files are, and where the smaller one goes.
        rows: calibration rows by Keras' names, for int8.
        frozen: the graph that `origin` was made from; its batch is the origin's.
    """

    origin: Artifact
    quantization: Quantization
    directory: Path
    rows: Tensors
    frozen: "Frozen"

    @property
    def name(self) -> str:
        """What the artifact will be called."""
        return f"{self.origin.format}-{self.quantization}"

    @property
    def path(self) -> Path:
        """The file to write: `model.int8.onnx` beside `model.onnx`."""
        stem, _, ending = self.origin.path.rpartition(".")
        return self.directory / f"{stem}.{self.quantization}.{ending}"


@dataclass(frozen=True)
class QuantizedFile:
    """An artifact that nobody has judged yet.

    Attributes:
        artifact: what the manifest says of it so far.
        small_share: the share of the values of weights that stand in 8 or 16 bits, 0 to 1.
        float_ops: of a full int8 artifact, the ops that compute in floating point all the same.
    """

    artifact: Artifact
    small_share: float
    float_ops: tuple[str, ...] = ()


class _Quantize(Protocol):
    def __call__(self, task: Task) -> QuantizedFile: ...


def quantize(task: Task) -> QuantizedFile:
    """Make one smaller artifact.

    Raises:
        FormatImpossible: it cannot be made of this model, its runtime does not load it, or nothing in it is smaller.
        OSError: the disk is full or cannot be written.
    """
    quantize_format: _Quantize = import_module(_MODULES[task.origin.format]).quantize
    return quantize_format(task)
