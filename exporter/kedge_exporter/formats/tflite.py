"""TFLite for LiteRT, builtin ops only: what needs Select TF ops cannot run on an edge interpreter."""

import re
import tempfile
from pathlib import Path

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from kedge_bundle.manifest import Artifact
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions, saved_model
from kedge_exporter.keras_model import describe
from kedge_exporter.tracing import Frozen
from kedge_exporter.writing import as_write_error

FORMAT = "tflite"
_FILE = "model.tflite"
_OP = re.compile(r"'(tf\.[A-Za-z0-9_]+)' op|tf\.([A-Za-z0-9]+)\(")
_NODE = re.compile(r'fused\["\w+:", "([^"@]+)@')


def convert(frozen: Frozen, directory: Path, _: ConvertOptions) -> Artifact:
    """Write `model.tflite`, with a signature that carries Keras' names."""
    if frozen.tables:
        nodes = ", ".join(f"'{table.placeholder}'" for table in frozen.tables)
        raise FormatImpossible(FORMAT, f"it looks values up in the tables behind {nodes}; look up before the request")
    # From a SavedModel: a file converted from the function alone has no signature, its names are lost.
    with tempfile.TemporaryDirectory(prefix="kedge-") as scratch:
        saved_model.write(frozen, Path(scratch))
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=[saved_model.SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            content = converter.convert()
        except Exception as error:  # ConverterError, and whatever the passes raise
            # Loops over lists of tensors (recurrent layers) need static shapes.
            impossible = FormatImpossible(FORMAT, _reason(error), may_hold_one_row=True)
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


def _check_loads(content: bytes) -> None:
    """Make sure that LiteRT, the interpreter that serves, takes the file and its signature."""
    try:
        Interpreter(model_content=content).get_signature_runner(saved_model.SIGNATURE)
    except (ValueError, RuntimeError) as error:
        raise FormatImpossible(FORMAT, f"LiteRT refuses it: {describe(error)}", may_hold_one_row=True) from error


def _reason(error: BaseException) -> str:
    """The ops that have no builtin form and the layers that they came from, out of the converter's long message."""
    text = str(error)
    ops = sorted({found for match in _OP.finditer(text) if (found := match[1] or f"tf.{match[2]}")})
    nodes = [node for node in dict.fromkeys(_NODE.findall(text)) if "/" in node]
    if not ops:
        return describe(error)
    where = f" at '{nodes[0]}'" if nodes else ""
    return f"no builtin TFLite op for {', '.join(ops)}{where}"
