# ruff: noqa: ANN401, T201 (Keras ships no types; this prints for a reader)
"""Asks Keras for logits: `python -m tests.exporter.copies.logits_of_models`, one JSON line a model."""

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from kedge_exporter import keras_repairs
from kedge_exporter.errors import ModelRefused
from kedge_exporter.keras_model import LoadedModel, named
from kedge_exporter.logits import answer_logits, answer_with_logits, heads
from kedge_exporter.precision import rebuild
from kedge_exporter.tracing import trace
from tests.exporter.copies.models import dense, half, linear, nested, pixels, shared

RNG = np.random.default_rng(2)


@keras.saving.register_keras_serializable("own")
class Scorer(keras.Model):
    """A subclassed model, whose wiring nobody sees."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.chance = layers.Dense(3, activation="softmax")

    def call(self, values: Any) -> Any:
        return {"chance": self.chance(values), "spread": keras.ops.max(self.chance(values), axis=-1)}


@keras.saving.register_keras_serializable("own")
class Brittle(layers.Layer):
    """Raises for an input of zeros."""

    def call(self, values: Any) -> Any:
        if not keras.ops.any(values):
            raise ArithmeticError("nothing but zeros")
        return values


def subclassed() -> keras.Model:
    model = Scorer()
    model(np.zeros((2, 5), np.float32))
    return model


def sequence() -> keras.Model:
    inner = keras.Sequential([layers.Dense(4), layers.Softmax()])
    return keras.Sequential([keras.Input((3,)), layers.Dense(3), inner, layers.Dropout(0.5), layers.Permute((1,))])


def op() -> keras.Model:
    values = keras.Input((3,))
    return keras.Model(values, keras.ops.sigmoid(layers.Dense(2, name="score")(values)))


def advised() -> keras.Model:
    """As Keras' guide to mixed precision ends a model."""
    values = keras.Input((3,))
    x = layers.Dense(4, dtype="mixed_float16")(values)
    return keras.Model(values, layers.Activation("softmax", dtype="float32", name="class")(x))


def no_heads() -> keras.Model:
    """What is not a head, though a softmax or a sigmoid had a part in it."""
    values = keras.Input((4, 3))
    x = layers.Dense(3)(values)
    over_both = layers.Activation(lambda logits: keras.ops.softmax(logits, axis=None), name="over_both")
    return keras.Model(
        values,
        [
            layers.Activation("log_softmax", name="log")(x),
            layers.Rescaling(2.0, name="doubled")(layers.Softmax()(x)),
            layers.Activation("silu", name="silu")(x),
            layers.Flatten(name="flat")(layers.Softmax()(x)),
            over_both(x),
        ],
    )


def brittle() -> keras.Model:
    values = keras.Input((4, 3))
    flat = layers.Flatten(name="chance")(layers.Dense(2, activation="sigmoid")(Brittle()(values)))
    return keras.Model(values, flat)


BUILDERS: tuple[Callable[[], Any], ...] = (
    linear, dense, pixels, shared, half, nested, subclassed, sequence, op, advised, no_heads,
)  # fmt: skip


def examples(loaded: LoadedModel) -> dict[str, Any]:
    return {spec.name: RNG.normal(0, 3, (3, *spec.shape[1:])).astype(spec.dtype) for spec in loaded.signature.inputs}


def told(loaded: LoadedModel) -> dict[str, Any]:
    inputs = examples(loaded)
    expected = loaded.answer(inputs)
    answers, logits = answer_with_logits(loaded, inputs)
    again = answer_logits(loaded, inputs)
    found: dict[str, Any] = {
        "heads": heads(loaded),
        "graph_may_have_some": trace(loaded).may_have_heads,
        "same_answers": all(np.array_equal(expected[name], answers[name]) for name in expected),
        "same_logits": logits.keys() == again.keys()
        and all(np.array_equal(logits[name], again[name]) for name in logits),
    }
    found["pairs"] = {
        name: {"dtype": [str(answers[name].dtype), str(logits[name].dtype)],
               "answer": answers[name].tolist(), "logits": logits[name].tolist()}
        for name in found["heads"]
    }  # fmt: skip
    return found


def after_an_error() -> dict[str, Any]:
    """Whether a model is as it was when its call failed."""
    loaded = brittle_loaded()
    zeros = {spec.name: np.zeros((2, *spec.shape[1:]), np.float32) for spec in loaded.signature.inputs}
    try:
        answer_logits(loaded, zeros)
    except ModelRefused as error:
        refused = str(error)
    return {
        "refused": refused,
        "left": [layer.name for layer in loaded.layers() if "call" in vars(layer)],
        "heads": heads(loaded),
    }


def brittle_loaded() -> LoadedModel:
    """Named as a model is that takes zeros, which `named` calls it with."""
    before = Brittle.call
    Brittle.call = lambda _, values: values
    try:
        return named(brittle(), {}, None)
    finally:
        Brittle.call = before


def main() -> None:
    keras_repairs.mend()
    for build in BUILDERS:
        keras.utils.clear_session()
        keras.utils.set_random_seed(5)
        loaded = named(build(), {}, None)
        print(json.dumps({"model": build.__name__} | told(loaded)))
        if build in (dense, pixels, half):
            print(json.dumps({"model": f"{build.__name__}, rebuilt"} | told(rebuild(loaded, "float64"))))
    print(json.dumps({"model": "brittle"} | after_an_error()))


if __name__ == "__main__":
    main()
