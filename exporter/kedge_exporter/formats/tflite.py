"""TFLite for LiteRT, builtin ops only: what needs Select TF ops cannot run on an edge interpreter."""

from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from kedge_bundle.manifest import Artifact
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions
from kedge_exporter.formats.flat_saved_model import SIGNATURE
from kedge_exporter.formats.float32 import without
from kedge_exporter.formats.tflite_converter import to_flatbuffer
from kedge_exporter.formats.tflite_refusals import reason
from kedge_exporter.formats.tflite_rewrites import with_builtins
from kedge_exporter.keras_model import describe
from kedge_exporter.tracing import Frozen
from kedge_exporter.writing import as_write_error

FORMAT = "tflite"
_FILE = "model.tflite"
_NOT_COMPUTED = {"float16", "bfloat16", "float64"}
"""LiteRT only casts them."""


def convert(frozen: Frozen, directory: Path, _: ConvertOptions) -> Artifact:
    """Write `model.tflite`, with a signature that carries Keras' names."""
    frozen, graph_def = prepared(frozen)
    try:
        content = to_flatbuffer(frozen, graph_def)
    except Exception as error:  # ConverterError, and whatever the passes raise
        # Loops over lists of tensors (recurrent layers) need static shapes.
        impossible = FormatImpossible(FORMAT, reason(error, frozen.layers), may_hold_one_row=True)
        raise as_write_error(error) or impossible from error
    _check_loads(content)
    path = directory / _FILE
    path.write_bytes(content)
    return Artifact(
        format=FORMAT,
        path=_FILE,
        files=(describe_file(directory, path),),
        inputs=frozen.arguments,
        outputs={name: name for name in frozen.signature.output_names},
        batch=frozen.batch or "dynamic",
        verdict="failed",
    )


def prepared(frozen: Frozen) -> tuple[Frozen, Any]:
    """What the converter is fed with, whatever it makes of the weights: float32 arithmetic, and ops that it has."""
    frozen = without(_NOT_COMPUTED, frozen, FORMAT)
    return frozen, with_builtins(frozen)


def _check_loads(content: bytes) -> None:
    """Make sure that LiteRT, the interpreter that serves, takes the file and its signature."""
    try:
        Interpreter(model_content=content).get_signature_runner(SIGNATURE)
    except (ValueError, RuntimeError) as error:
        raise FormatImpossible(FORMAT, f"LiteRT refuses it: {describe(error)}", may_hold_one_row=True) from error
