"""The graphs of real Keras models, as JSON: `python -m tests.exporter.report.graphs`, which starts TensorFlow."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
from keras import layers

from kedge_exporter.keras_model import named
from kedge_exporter.report.keras_graph import graph_of
from tests.exporter.own_layers import Scorer


def residual() -> keras.Model:
    image = keras.Input((8, 8, 3), name="image")
    first = layers.Conv2D(4, 3, padding="same", name="first")(image)
    second = layers.Conv2D(4, 3, padding="same", name="second")(first)
    return keras.Model(image, layers.Add(name="sum")([second, first]))


def nested() -> keras.Model:
    """A model inside a model inside a model, the outer one called twice."""
    deepest = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="deep")], name="deepest")
    inside = keras.Input((4,))
    inner = keras.Model(inside, deepest(layers.Dense(3, name="dense")(inside)), name="inner")
    values = keras.Input((4,), name="values")
    return keras.Model(values, layers.Add(name="sum")([inner(values), inner(values)]))


def shared() -> keras.Model:
    """One layer called twice; an input that is an output, and one that nothing reads."""
    left, right, unread = (keras.Input((4,), name=name) for name in ("left", "right", "unread"))
    dense = layers.Dense(2, name="dense")
    joined = layers.Concatenate(name="joined")([dense(left), dense(right)])
    return keras.Model({"left": left, "right": right, "unread": unread}, {"joined": joined, "same": left})


def several_answers() -> keras.Model:
    """A layer with two answers, and an operation that is no layer."""
    steps = keras.Input((None, 3), name="steps")
    sequence, state = layers.GRU(4, return_sequences=True, return_state=True, name="memory")(steps)
    return keras.Model(steps, [keras.ops.tanh(sequence), layers.Dense(2, name="last")(state)])


def sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,), name="values"), layers.Dense(3, name="one"), layers.Dense(2, name="two")]
    )


def subclassed() -> keras.Model:
    model = Scorer()
    model(np.zeros((2, 5), np.float32))
    return model


BUILDERS: tuple[Callable[[], Any], ...] = (residual, nested, shared, several_answers, sequential, subclassed)


def main() -> None:
    found = {}
    for build in BUILDERS:
        keras.utils.clear_session()
        model = build()
        found[build.__name__] = {
            "nodes": [asdict(node) for node in graph_of(named(model, {}, None))],
            "parameters": model.count_params(),
        }
    print(json.dumps(found))  # noqa: T201 (its answer)


if __name__ == "__main__":
    main()
