"""The formats that a model is converted to: one module each, the same shape in each.

Every module has `convert(frozen, directory, options) -> Artifact`: it writes the model into `directory`, checks that
the format's own runtime takes it, and raises `FormatImpossible` where it cannot. What it returns is `failed` until
the proof says otherwise.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from kedge_bundle.manifest import Artifact, FormatName
from kedge_bundle.memory import importing
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.request import HIGHEST_OPSET

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedge_exporter.tracing import Frozen

MOST_WEIGHT_BYTES = 1_900_000_000
"""Every format is made from one frozen graph, and that is one protobuf message, which holds 2 GB."""

_MODULES: dict[FormatName, str] = {
    "saved_model": "kedge_exporter.formats.saved_model",
    "tflite": "kedge_exporter.formats.tflite",
    "onnx": "kedge_exporter.formats.onnx",
}


@dataclass(frozen=True)
class ConvertOptions:
    """What a user may say about conversion."""

    opset: int = HIGHEST_OPSET


def check_size(weight_bytes: int) -> None:
    """Refuse a model that no frozen graph holds, before anything is made of it.

    Raises:
        FormatImpossible: its weights are too large for any format.
    """
    if weight_bytes > MOST_WEIGHT_BYTES:
        raise FormatImpossible(
            None,
            f"the weights take {weight_bytes:,} bytes, and one graph holds 2 GB; export parts of the model, or save it "
            "with smaller layers",
        )


def make_ready(format_names: tuple[FormatName, ...]) -> None:
    """Import what these formats are made with: most of a second, well spent where a proof is waited for."""
    with importing():
        for name in format_names:
            import_module(_MODULES[name])


def convert(format_name: FormatName, frozen: "Frozen", directory: Path, options: ConvertOptions) -> Artifact:
    """Write the model into `directory` in one format.

    Raises:
        FormatImpossible: the format cannot hold this model.
        OSError: the disk is full or cannot be written.
    """
    convert_to: Callable[[Frozen, Path, ConvertOptions], Artifact] = import_module(_MODULES[format_name]).convert
    return convert_to(frozen, directory, options)
