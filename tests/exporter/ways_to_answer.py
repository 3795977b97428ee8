# ruff: noqa: ANN401, T201 (Keras ships no types; it prints for a test)
"""Lets models answer in every way that Kedge asks them: one JSON line each."""

import gc
import json
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kedge_bundle.signature import Tensors
from kedge_exporter import keras_model
from kedge_exporter.calling import functions_inlined
from kedge_exporter.exact import in_float64
from kedge_exporter.input_layers import readings
from kedge_exporter.inspect import inspect
from kedge_exporter.keras_model import LoadedModel
from kedge_exporter.precision import rebuild
from kedge_exporter.samples import draws, one_case
from kedge_exporter.tracing import in_one_graph
from tests.exporter import models


def chain() -> keras.Model:
    """Eight layers in a row, of which each answer is wanted once."""
    x = given = keras.Input((64,), name="x")
    for _ in range(8):
        x = keras.layers.Dense(64, activation="relu")(x)
    return keras.Model(given, x)


def reused() -> keras.Model:
    """Answers that are read twice, one by a later layer, one that is an output as well, and an input that is one."""
    given, other = keras.Input((4,), name="x"), keras.Input((4,), name="other")
    shared = keras.layers.Dense(4, activation="tanh")
    first, second = shared(given), shared(other)
    both = keras.layers.Add()([first, first])
    late = keras.layers.Concatenate()([keras.layers.Dense(3)(both), first, second, given])
    return keras.Model([given, other], {"late": late, "first": first, "same": given})


MODELS: dict[str, Callable[[], keras.Model]] = {
    "chain": chain,
    "reused": reused,
    "nested": models.nested,
    "grouped": models.grouped,
    "lstm": models.lstm,
    "dicts": models.dicts,
    "known_words": models.known_words,
}


def main() -> None:
    for name, make in MODELS.items():
        loaded = _loaded(make())
        inputs = one_case(draws(loaded.signature, readings(loaded), ()), "typical", 4, 12, _rng())
        print(json.dumps({"model": name, **_told(loaded, inputs)}), flush=True)
    print(json.dumps({"model": "alive", "answers": _alive()}), flush=True)


def _told(loaded: LoadedModel, inputs: Tensors) -> dict[str, Any]:
    answers = loaded.answer(inputs)
    with functions_inlined():
        plain = loaded.call([tf.constant(inputs[spec.name]) for spec in loaded.signature.inputs])
    exact = rebuild(loaded, "float64")
    eager, graph = exact.answer(in_float64(inputs)), in_one_graph(exact).answer(in_float64(inputs))
    return {
        "same": all(
            np.array_equal(array, tensor.numpy()) for array, tensor in zip(answers.values(), plain, strict=True)
        ),
        "names": [list(eager), list(graph)],
        "dtypes": [str(array.dtype) for array in graph.values()],
        "not_called": _not_called(loaded, exact, inputs),
        "apart": max(float(np.abs(eager[name] - graph[name]).max()) for name in eager),
    }


def _not_called(loaded: LoadedModel, called: LoadedModel, inputs: Tensors) -> bool:
    """Whether a model that is rebuilt without being called answers as the one that was; initializers draw again."""
    other = rebuild(loaded, "float64", is_called=False)
    drawn = keras.initializers.GlorotUniform(seed=1)((3, 4), "float32")
    answers, expected = other.answer(in_float64(inputs)), called.answer(in_float64(inputs))
    same_outputs = other.signature.output_names == called.signature.output_names
    return bool(
        same_outputs and all(np.array_equal(answers[name], expected[name]) for name in expected) and np.any(drawn)
    )


def _alive() -> list[int]:
    """How many of eight layers' answers are alive when each has answered, as Kedge asks and as Keras does it."""
    return [
        _most_alive(answer)
        for answer in (lambda model, x: model.answer({"x": x}), lambda model, x: model.call([tf.constant(x)]))
    ]


def _most_alive(answer: Callable[[LoadedModel, Any], object]) -> int:
    loaded, seen, most = _loaded(chain()), [], 0
    call = keras.layers.Dense.call

    def watched(self: Any, *given: Any, **settings: Any) -> Any:
        nonlocal most
        made = call(self, *given, **settings)
        seen.append(weakref.ref(made))
        gc.collect()
        most = max(most, sum(reference() is not None for reference in seen))
        return made

    keras.layers.Dense.call = watched
    try:
        answer(loaded, np.zeros((2, 64), np.float32))
    finally:
        keras.layers.Dense.call = call
    return most


def _loaded(model: keras.Model) -> LoadedModel:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.keras"
        model.save(path)
        return keras_model.load(inspect(path), None, None)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


if __name__ == "__main__":
    sys.exit(main())
