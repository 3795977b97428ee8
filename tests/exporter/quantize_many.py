"""Quantizes several models in one process: `python -m tests.exporter.quantize_many OUTPUT`, one JSON line each."""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_digits

from kedge_bundle.manifest import ARTIFACT_NAMES, ArtifactName, FormatName
from kedge_bundle.store import staging
from kedge_exporter.errors import ExportError, FidelityNotMet
from kedge_exporter.export import export
from kedge_exporter.progress import Progress
from kedge_exporter.request import ExportRequest

QUANTIZED: tuple[ArtifactName, ...] = tuple(name for name in ARTIFACT_NAMES if "-" in name)
DIGITS = load_digits()
ROWS = DIGITS.data[:300].astype(np.float32)


def digits() -> keras.Model:
    """A classifier that is right about digits, trained for a second."""
    model = keras.Sequential(
        [
            keras.Input((64,), name="pixels"),
            layers.Rescaling(1 / 16),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax", name="digit"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(DIGITS.data[300:], DIGITS.target[300:], epochs=3, batch_size=64, verbose=0)
    return model


def kelvin() -> keras.Model:
    """A regression about 300: nearly all of its signal is the mean."""
    pixels = keras.Input((64,), name="pixels")
    return keras.Model(pixels, layers.Dense(1, bias_initializer=keras.initializers.Constant(300.0))(pixels / 100))


def recurrent() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8), name="rows"), layers.LSTM(32), layers.Dense(10, name="digit")])


def weightless() -> keras.Model:
    return keras.Sequential([keras.Input((64,), name="pixels"), layers.Rescaling(1 / 16, name="scaled")])


def infinite() -> keras.Model:
    """Minus infinity for every second row, which ends the native calibrator."""
    pixels = keras.Input((64,), name="pixels")
    return keras.Model(pixels, ops.log(ops.relu(layers.Dense(4, name="answer")(pixels))))


def mixed_rows() -> keras.Model:
    """Two inputs, one of indices, four rows at a time; a class, its scores, and half precision inside."""
    pixels = keras.Input((64,), batch_size=4, name="pixels")
    index = keras.Input((3,), batch_size=4, dtype="int32", name="index")
    hidden = layers.Dense(32, activation="relu", dtype="mixed_float16")(pixels)
    joined = layers.Concatenate(dtype="float32")([hidden, layers.Flatten()(layers.Embedding(40, 16)(index))])
    return keras.Model({"pixels": pixels, "index": index}, {"scores": layers.Dense(5, dtype="float32")(joined)})


@dataclass(frozen=True)
class Trial:
    """One export."""

    build: Callable[[], Any]
    quantize: tuple[ArtifactName, ...]
    data: dict[str, Any] | None = field(default_factory=lambda: {"pixels": ROWS})
    min_snr_db: float | None = None

    @property
    def formats(self) -> tuple[FormatName, ...]:
        wanted = {name.partition("-")[0] for name in self.quantize}
        return tuple(name for name in ("tflite", "onnx") if name in wanted)


WITH_NAN = np.where(np.arange(300)[:, None] % 3 == 0, np.nan, ROWS).astype(np.float32)
TRIALS: dict[str, Trial] = {
    "digits": Trial(digits, QUANTIZED),
    "without_data": Trial(digits, ("onnx-float16",), data=None),
    "demanding": Trial(digits, ("onnx-float16", "onnx-int8"), min_snr_db=60),
    "few_and_nan": Trial(digits, ("onnx-int8",), data={"pixels": WITH_NAN[:90]}),
    "kelvin": Trial(kelvin, ("onnx-int8",)),
    "recurrent": Trial(recurrent, ("tflite-int8",), data={"rows": ROWS.reshape(-1, 8, 8)}),
    "weightless": Trial(weightless, ("onnx-int8",)),
    "infinite": Trial(infinite, ("tflite-int8",)),
    "mixed_rows": Trial(
        mixed_rows,
        ("tflite-float16",),
        data={"pixels": ROWS, "index": np.random.default_rng(0).integers(0, 40, (300, 3)).astype(np.int32)},
    ),
}


def run(name: str, trial: Trial, output: Path) -> dict[str, object]:
    """The outcome of one export, as JSON takes it."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model, data = output / f"{trial.build.__name__}.keras", None
    if not model.exists():
        trial.build().save(model)
    if trial.data is not None:
        data = output / f"{name}.npz"
        np.savez(data, **trial.data)
    request = ExportRequest(
        model=model, name=name, output=output / "models", formats=trial.formats, data=data, quantize=trial.quantize,
        is_timed=True, min_snr_db=trial.min_snr_db,
    )  # fmt: skip
    try:
        with staging(request.output, name) as staged, tempfile.TemporaryDirectory() as work:
            exported = export(request, staged, Path(work), Progress(lambda _event: None))
    except ExportError as error:
        judged = [report.artifact for report in error.reports] if isinstance(error, FidelityNotMet) else []
        return {"name": name, "exit_code": error.exit_code, "error": str(error), "judged": judged}
    return {"exit_code": 0, **exported.model_dump(mode="json")}


def main(output: Path) -> None:
    for name, trial in TRIALS.items():
        print(json.dumps(run(name, trial, output)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
