# ruff: noqa: T201
"""Converts the models of `precision_models`: `python -m tests.exporter.convert_many [bytes]`, one JSON line each.

With `bytes`, the TFLite files are only made, not tried.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from kedge_bundle.manifest import Artifact
from kedge_bundle.signature import Tensors, TensorSpec
from kedge_exporter import keras_repairs, precision, tracing
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions, onnx, tflite
from kedge_exporter.keras_model import LoadedModel, named
from tests.exporter.precision_models import CONVERTED, REFUSED

RNG = np.random.default_rng(5)
WITH_ONNX = {"bfloat", "my model (v2)", "open"}
"""The models that ONNX, too, takes only after what is tried here."""


def values(spec: TensorSpec) -> np.ndarray[Any, Any]:
    """One row for an input."""
    shape = [1, *(9 if size is None else size for size in spec.shape[1:])]
    if spec.dtype == "string":
        return np.array(["ü", "other"], object).reshape(shape)
    if spec.dtype == "int64":
        return np.array([2**40, 4], np.int64).reshape(shape)
    return RNG.normal(0, 1, shape).astype(spec.dtype)


def as_bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.char.encode(array.astype(str), "utf-8") if array.dtype == object else array


def share_of_error(expected: Tensors, actual: Tensors) -> float:
    """The largest error as a share of the largest value."""
    largest = max(float(np.abs(answer).max()) for answer in expected.values())
    errors = (np.abs(expected[name].astype(np.float64) - actual[name]).max() for name in expected)
    return float(max(errors)) / largest


def to_tflite(frozen: tracing.Frozen, directory: Path) -> tuple[Artifact, bytes]:
    """The artifact and its file, for one row where it must be."""
    try:
        artifact = tflite.convert(frozen, directory, ConvertOptions())
    except FormatImpossible as error:
        if not error.may_hold_one_row:
            raise
        artifact = tflite.convert(frozen.with_batch(1), directory, ConvertOptions())
    return artifact, (directory / artifact.path).read_bytes()


def compare(loaded: LoadedModel, artifact: Artifact, content: bytes) -> dict[str, Any]:
    """What LiteRT answers against Keras, and the model in float64 against Keras."""
    inputs = {spec.name: values(spec) for spec in loaded.signature.inputs}
    expected = loaded.answer(inputs)
    runner = Interpreter(model_content=content).get_signature_runner()
    answers = runner(**{artifact.inputs[name]: as_bytes(array) for name, array in inputs.items()})
    actual = {name: np.asarray(answers[own]) for name, own in artifact.outputs.items()}
    double = precision.rebuild(loaded, "float64")
    wide = {name: array if array.dtype.kind != "f" else array.astype(np.float64) for name, array in inputs.items()}
    exact = double.answer(wide)
    return {
        "error": share_of_error(expected, actual),
        "float64_error": share_of_error(exact, expected),
        "dtypes": sorted({str(array.dtype) for array in actual.values()}),
        "float64_dtypes": sorted({str(array.dtype) for array in exact.values()}),
    }


def outcome(loaded: LoadedModel, *, only_bytes: bool) -> dict[str, Any]:
    try:
        frozen = tracing.trace(loaded)
        with tempfile.TemporaryDirectory() as directory:
            artifact, content = to_tflite(frozen, Path(directory))
            if loaded.model.name in WITH_ONNX and not only_bytes:
                onnx.convert(frozen, Path(directory), ConvertOptions())
    except FormatImpossible as error:
        return {"refusal": str(error)}
    made = {"sha256": hashlib.sha256(content).hexdigest(), "batch": artifact.batch}
    return made if only_bytes else made | compare(loaded, artifact, content)


def main(*, only_bytes: bool) -> None:
    keras_repairs.mend()
    for build in (*CONVERTED, *REFUSED):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        loaded = named(build(), {}, None)
        print(json.dumps({"name": build.__name__, **outcome(loaded, only_bytes=only_bytes)}), flush=True)


if __name__ == "__main__":
    main(only_bytes=sys.argv[1:] == ["bytes"])
