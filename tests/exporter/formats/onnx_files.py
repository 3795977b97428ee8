"""Converts a few models to ONNX: `python -m tests.exporter.formats.onnx_files MODELS WORK`; prints one JSON document.

The models are built where MODELS does not have them yet, so that two processes convert the same files.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import onnx
from keras import layers
from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

from kedge_exporter import keras_model, tracing
from kedge_exporter.formats import ConvertOptions, convert
from kedge_exporter.inspect import inspect


def dense() -> Any:  # noqa: ANN401 (Keras ships no types)
    return keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="gelu"), layers.Dense(3)])


def cnn() -> Any:  # noqa: ANN401
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="first_convolution", use_bias=False)(image)
    x = layers.Activation("silu")(layers.BatchNormalization()(x))
    x = layers.Concatenate()([layers.Conv2D(2, 1)(x), layers.Conv2D(2, 1)(x)])
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))))


def lstm() -> Any:  # noqa: ANN401
    recurrent = [layers.Bidirectional(layers.LSTM(4, return_sequences=True)), layers.GRU(3)]
    return keras.Sequential([keras.Input((None, 3)), *recurrent, layers.Dense(2)])


def attention() -> Any:  # noqa: ANN401
    x = keras.Input((6, 8))
    attended = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    return keras.Model(x, layers.LayerNormalization()(attended + x))


def lookup() -> Any:  # noqa: ANN401
    word, number = keras.Input((3,), dtype="string"), keras.Input((3,), dtype="int64")
    found = layers.StringLookup(vocabulary=["c", "a", "b"])(word)
    return keras.Model([word, number], [layers.Embedding(8, 4)(found), layers.IntegerLookup(vocabulary=[5, 1])(number)])


MODELS: tuple[Callable[[], Any], ...] = (dense, cnn, lstm, attention, lookup)


def converted(path: Path, work: Path) -> dict[str, Any]:
    """What is told of one model."""
    loaded = keras_model.load(inspect(path), None, None)
    artifact = convert("onnx", tracing.trace(loaded), work, ConvertOptions())
    graph = onnx.load(work / artifact.path).graph
    return {
        "sha256": artifact.files[0].sha256,
        "names": [node.name for node in graph.node],
        "ops": artifact.ops,
        "transposes": sum(node.op_type == "Transpose" for node in graph.node),
    }


def main(models: Path, work: Path) -> None:
    told = {}
    for build in MODELS:
        path = models / f"{build.__name__}.keras"
        if not path.exists():
            keras.utils.clear_session()
            build().save(path)
    for build in MODELS:
        told[build.__name__] = converted(models / f"{build.__name__}.keras", work)
    with mock.patch.object(TransposeOptimizer, "optimize", side_effect=KeyError("no such node")):
        told["cnn, without an optimizer"] = converted(models / "cnn.keras", work)
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
