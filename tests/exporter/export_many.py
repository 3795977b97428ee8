"""Exports several models in one process: `python -m tests.exporter.export_many MODELS OUTPUT`, one JSON line each."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

from kedge_bundle.manifest import FORMATS, FormatName
from kedge_bundle.store import staging
from kedge_exporter.errors import ExportError
from kedge_exporter.export import export
from kedge_exporter.progress import Progress
from kedge_exporter.request import ExportRequest

OWN = Path(__file__).with_name("own_layers.py")
EDGE: tuple[FormatName, ...] = ("tflite", "onnx")

EXPORTED: dict[str, tuple[FormatName, ...]] = {
    # SavedModel costs a start of TensorFlow in the proof: only where it adds something.
    "dicts": FORMATS,
    "sequential": FORMATS,
    "lstm": EDGE,
    "augmented": EDGE,
    "grouped": EDGE,
    "nested": EDGE,
    "four_rows": EDGE,
    "deferred": ("onnx",),
    "one_row": EDGE,
    "scorer": EDGE,
    "pair": ("onnx",),
    "captioner": ("onnx",),
    "echo": EDGE,
    "float16_gelu": ("onnx",),
    "words": ("onnx",),
    "known_words": EDGE,
    "chaotic": ("onnx",),
}
NEEDS_OWN = {"one_row", "scorer", "pair", "captioner"}
REFUSED: dict[str, tuple[FormatName, ...]] = {
    "half": EDGE,
    "stateful": EDGE,
    "bytecode": EDGE,
    "too_big": EDGE,
}


def export_one(model: Path, output: Path, formats: tuple[FormatName, ...]) -> dict[str, object]:
    """The outcome of one export, as JSON takes it."""
    name = model.stem
    request = ExportRequest(
        model=model, name=name, output=output, formats=formats, custom=OWN if name in NEEDS_OWN else None
    )
    try:
        with staging(output, name) as staged, tempfile.TemporaryDirectory() as work:
            exported = export(request, staged, Path(work), Progress(lambda _event: None))
    except ExportError as error:
        return {"name": name, "exit_code": error.exit_code, "error": str(error)}
    return {"exit_code": 0, **exported.model_dump(mode="json")}


@contextmanager
def limited_weights() -> Iterator[None]:
    """A graph that holds 10 bytes instead of 2 GB."""
    with mock.patch("kedge_exporter.formats.MOST_WEIGHT_BYTES", 10):
        yield


def main(models: Path, output: Path) -> None:
    (models / "too_big.keras").write_bytes((models / "four_rows.keras").read_bytes())
    for name, formats in {**EXPORTED, **REFUSED}.items():
        with limited_weights() if name == "too_big" else nullcontext():
            print(json.dumps(export_one(models / f"{name}.keras", output, formats)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
