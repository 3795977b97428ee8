"""Smaller TFLite files: float16 weights, dynamic-range int8, and full int8 from the proven float32 file.

What goes in and comes out stays as it was: the same names, dtypes and shapes in every artifact of a bundle.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.manifest import Quantization
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats.flat_saved_model import SIGNATURE
from kedge_exporter.formats.quantized import QuantizedFile, Task
from kedge_exporter.formats.tflite import prepared
from kedge_exporter.formats.tflite_converter import Weights, to_flatbuffer
from kedge_exporter.formats.tflite_file import TfliteFile
from kedge_exporter.keras_model import describe
from kedge_exporter.processes import describe_exit
from kedge_exporter.writing import as_write_error

_SPARED: dict[Quantization, str] = {
    "float16": "",
    "dynamic": " (the converter leaves weights of fewer than 1,024 values as they are)",
    "int8": "",
}
_WEIGHTS: dict[Quantization, Weights] = {"float16": "float16", "dynamic": "int8"}


def quantize(task: Task) -> QuantizedFile:
    """Write `model.<quantization>.tflite`: float16, dynamic or int8. See `quantized.quantize`."""
    origin = (task.directory / task.origin.path).read_bytes()
    if task.quantization == "int8":
        _check_int8(task.name, TfliteFile(origin))
    try:
        if task.quantization == "int8":
            content = _int8(task)
        else:
            content = to_flatbuffer(*prepared(task.frozen), _WEIGHTS[task.quantization])
        Interpreter(model_content=content).get_signature_runner(SIGNATURE)
        task.path.write_bytes(content)
    except Exception as error:  # ConverterError, the end of the quantizer's process, LiteRT's refusal
        raise as_write_error(error) or FormatImpossible(task.name, describe(error)) from error
    file = TfliteFile(content)
    if not file.small_share:
        raise FormatImpossible(
            task.name, f"none of this model's weights has a smaller form in it{_SPARED[task.quantization]}"
        )
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


def _int8(task: Task) -> bytes:
    """Quantize the float32 file in a process of its own, whose end is a reason and not the export's end."""
    with tempfile.TemporaryDirectory(prefix="kedge-") as scratch:
        rows, quantized = Path(scratch) / "rows.npz", Path(scratch) / "quantized.tflite"
        batch = task.origin.batch if isinstance(task.origin.batch, int) else 1
        inputs = {task.origin.inputs[name]: array for name, array in task.rows.items()}
        write_cases(rows, [Case("rows", inputs)])
        command = [
            sys.executable, "-P", "-m", "kedge_exporter.formats.tflite_int8",
            str(task.directory / task.origin.path), str(rows), str(batch), str(quantized),
        ]  # fmt: skip
        finished = subprocess.run(  # noqa: S603 (our own module)
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, text=True, errors="replace"
        )
        sys.stderr.write(finished.stderr)
        if finished.returncode or not quantized.is_file():
            last = (finished.stderr.strip().splitlines() or [""])[-1]
            why = last if finished.returncode > 0 else "so it ends where a tensor is infinite or NaN for such rows"
            raise RuntimeError(f"TensorFlow's quantizer {describe_exit(finished.returncode)}: {why}")
        return quantized.read_bytes()
