# ruff: noqa: PLC0415, T201 (one process imports Keras, the other TensorFlow only; the test reads what they print)
"""Models that look up: `convert DIRECTORY` makes ONNX files and SavedModels, `load DIRECTORY` runs the latter afresh.

Each prints a JSON line per model: [name, outcome].
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS = np.array([[b"b", b"zz", b""], [b"a", b"b", b"c"]], object)
KNOWN = np.array([[b"b", b"a", b""], [b"a", b"b", b"c"]], object)
NUMBERS = np.array([[1, 5, 7], [-1, 9, 99]], np.int64)
VOCABULARY = ["a", "b", "c"]


def models() -> Iterator[tuple[str, NDArray[Any], Callable[[], Any]]]:
    """Name, input, and what makes the layers."""
    from keras import layers, ops

    string, integer = layers.StringLookup, layers.IntegerLookup
    for mode in ("int", "one_hot", "multi_hot", "count", "tf_idf"):
        weights = {"idf_weights": [0.1, 0.2, 0.3]} if mode == "tf_idf" else {}
        plain = {"vocabulary": VOCABULARY, "output_mode": mode, **weights}
        yield f"{mode}", WORDS, lambda kw=plain: string(**kw)
    masked = {"vocabulary": VOCABULARY, "mask_token": ""}
    yield "masked", WORDS, lambda: string(**masked)
    yield "masked, counted", WORDS, lambda: string(output_mode="count", **masked)
    yield "masked, all known", KNOWN, lambda: string(num_oov_indices=0, **masked)
    padded = {"output_mode": "multi_hot", "max_tokens": 9, "pad_to_max_tokens": True}
    yield "padded", WORDS, lambda: string(vocabulary=VOCABULARY, **padded)
    yield "inverse", NUMBERS, lambda: string(vocabulary=VOCABULARY, invert=True, mask_token="")
    yield "numbers", NUMBERS, lambda: integer(vocabulary=[1, 5, 9], mask_token=-1)
    yield "numbers, counted", NUMBERS, lambda: integer(vocabulary=[1, 5, 9], output_mode="count")
    yield "numbers, several unknown", NUMBERS, lambda: integer(vocabulary=[1, 5, 9], num_oov_indices=3)
    yield "numbers, inverse", NUMBERS, lambda: integer(vocabulary=[1, 5, 9], invert=True)
    yield "several unknown", WORDS, lambda: string(vocabulary=VOCABULARY, num_oov_indices=2, name="look_up")
    yield "hashed", WORDS, lambda: layers.Hashing(4, name="crc")
    yield "text", WORDS[:, :1], lambda: layers.TextVectorization(vocabulary=VOCABULARY, name="split")
    yield "algebra", NUMBERS, lambda: lambda x: ops.qr(ops.cast(ops.expand_dims(x, -1), "float32"))[1]


def convert(directory: Path) -> None:
    import keras

    from kedge_bundle.manifest import RuntimeOptions
    from kedge_bundle.runtimes.onnx import OnnxRuntime
    from kedge_exporter import keras_model, tracing
    from kedge_exporter.errors import FormatImpossible
    from kedge_exporter.formats import ConvertOptions
    from kedge_exporter.formats import convert as convert_to
    from kedge_exporter.inspect import inspect

    for name, array, make in models():
        place = directory / name
        place.mkdir()
        keras.utils.clear_session()
        given = keras.Input(array.shape[1:], dtype="string" if array.dtype == object else "int64", name="x")
        keras.Model(given, make()(given)).save(place / "model.keras")
        loaded = keras_model.load(inspect(place / "model.keras"), None, None)
        frozen = tracing.trace(loaded)
        expected = loaded.answer({"x": array})
        convert_to("saved_model", frozen, place / "saved", ConvertOptions())
        np.savez(place / "answers.npz", allow_pickle=True, **expected)
        try:
            artifact = convert_to("onnx", frozen, place, ConvertOptions())
            with OnnxRuntime(place / artifact.path, artifact, frozen.signature, RuntimeOptions()) as runtime:
                outcome = compared(runtime.run({"x": array}), expected)
        except FormatImpossible as error:
            outcome = str(error)
        print(json.dumps([name, outcome]), flush=True)


def load(directory: Path) -> None:
    import tensorflow as tf

    print(json.dumps(["vectors", refusal_of_vectors(tf)]), flush=True)
    for name, array, _ in models():
        with np.load(directory / name / "answers.npz", allow_pickle=True) as expected:
            serve = tf.saved_model.load(directory / name / "saved").signatures["serving_default"]
            answers = {output: tensor.numpy() for output, tensor in serve(x=tf.constant(array)).items()}
            print(json.dumps([name, compared(answers, {output: expected[output] for output in answers})]), flush=True)


def refusal_of_vectors(tf: Any) -> str:  # noqa: ANN401
    """What is said of a table that answers two numbers for a word."""
    from kedge_exporter.errors import ModelRefused
    from kedge_exporter.tables import tables_of

    module = tf.Module()
    module.pairs = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default_value=[0, 0])
    module.pairs.insert(["a"], [[1, 2]])
    traced = tf.function(module.pairs.lookup).get_concrete_function(tf.TensorSpec([None], tf.string))
    try:
        tables_of(traced, traced, module)
    except ModelRefused as error:
        return str(error)
    return "taken"


def compared(answers: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> str:
    """`equal`, or what is not."""
    wrong = [
        f"{name}: {answers[name].tolist()}, expected {wanted.tolist()}"
        for name, wanted in expected.items()
        if answers[name].shape != wanted.shape or not (answers[name] == wanted).all()
    ]
    return "; ".join(wrong) or "equal"


if __name__ == "__main__":
    {"convert": convert, "load": load}[sys.argv[1]](Path(sys.argv[2]))
