"""Full int8 by TensorFlow's calibrator and quantizer: `python -m ... FLOAT32.tflite ROWS.npz BATCH INT8.tflite`.

A process of its own: both are native code that ends in a segmentation fault where a range is infinite.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize import calibrator

from kedge_bundle.cases import read_cases
from kedge_bundle.signature import row_count


def main(float32: Path, rows: Path, batch: int, quantized: Path) -> None:
    """Find the ranges of activations with the rows, `batch` at a time, then take int8 ops wherever TFLite has them."""
    inputs = read_cases(rows)[0].inputs

    def samples() -> Iterator[dict[str, object]]:
        # The calibrator takes the shapes of the first sample for all.
        for start in range(0, row_count(inputs), batch):
            yield {name: array[start : start + batch] for name, array in inputs.items()}

    prepared = calibrator.add_intermediate_tensors(float32.read_bytes())
    calibrated = calibrator.Calibrator(prepared).calibrate(samples)
    quantized.write_bytes(mlir_quantize(calibrated))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
