"""Smaller TFLite files: float16 weights, dynamic-range int8, and full int8 from the proven float32 file.

What goes in and comes out stays as it was: the same names, dtypes and shapes in every artifact of a bundle.
"""

from collections.abc import Iterator

from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize import calibrator

from kedge_bundle.manifest import Artifact, Quantization
from kedge_bundle.signature import Tensors
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats.quantized import QuantizedFile, Task
from kedge_exporter.formats.saved_model import SIGNATURE
from kedge_exporter.formats.tflite_converter import Weights, to_flatbuffer
from kedge_exporter.formats.tflite_file import TfliteFile
from kedge_exporter.formats.tflite_rewrites import with_builtins
from kedge_exporter.keras_model import describe
from kedge_exporter.writing import as_write_error

_WEIGHTS: dict[Quantization, Weights] = {"float16": "float16", "dynamic": "int8"}


def quantize(task: Task) -> QuantizedFile:
    """Write `model.<quantization>.tflite`: float16, dynamic or int8. See `quantized.quantize`."""
    origin = (task.directory / task.origin.path).read_bytes()
    if task.quantization == "int8":
        _check_int8(task.name, TfliteFile(origin))
    try:
        if task.quantization == "int8":
            content = _int8(origin, task.origin, task.rows)
        else:
            content = to_flatbuffer(task.frozen, with_builtins(task.frozen), _WEIGHTS[task.quantization])
        Interpreter(model_content=content).get_signature_runner(SIGNATURE)
        task.path.write_bytes(content)
    except Exception as error:  # ConverterError, what the calibrator's interpreter raises, LiteRT's refusal
        raise as_write_error(error) or FormatImpossible(task.name, describe(error)) from error
    file = TfliteFile(content)
    if not file.small_share:
        raise FormatImpossible(task.name, "none of this model's weights has a smaller form in it")
    changes = {
        "quantization": task.quantization,
        "path": task.path.name,
        "files": (describe_file(task.directory, task.path),),
        "ops": file.ops,
        "min_runtime": file.min_runtime,
        "verdict": "failed",
        "max_abs_error": None,
        "reproducible": None,
    }
    float_ops = file.float_ops if task.quantization == "int8" else ()
    return QuantizedFile(task.origin.model_copy(update=changes), file.small_share, float_ops)


def _check_int8(name: str, file: TfliteFile) -> None:
    """Refuse what the calibrator does not survive: it follows no loop and reads no string."""
    if file.has_loops:
        raise FormatImpossible(
            name,
            "it holds a loop (a recurrent layer), into which TensorFlow's calibrator cannot see; tflite-dynamic keeps "
            "the weights in int8 as well",
        )
    if file.has_strings:
        raise FormatImpossible(name, "it reads strings, which TensorFlow's calibrator cannot be fed with")


def _int8(content: bytes, artifact: Artifact, rows: Tensors) -> bytes:
    """Ranges of activations from the calibration rows, then int8 ops wherever TFLite has them.

    The calibrator takes the shapes of the first rows for all.
    """
    step = artifact.batch if isinstance(artifact.batch, int) else 1
    count = len(next(iter(rows.values())))

    def samples() -> Iterator[dict[str, object]]:
        for start in range(0, count, step):
            yield {artifact.inputs[name]: array[start : start + step] for name, array in rows.items()}

    prepared = calibrator.add_intermediate_tensors(content)
    calibrated = calibrator.Calibrator(prepared).calibrate(samples)
    quantized: bytes = mlir_quantize(calibrated)
    return quantized
