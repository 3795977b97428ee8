"""A notebook's session, as a program: Keras is imported here, and live models are exported.

`python -m tests.exporter.live_exports DIRECTORY` exports into DIRECTORY/models and writes what came out of it to
DIRECTORY/outcomes.json; it prints nothing itself.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from kedge_exporter import Exported, export_model
from kedge_exporter.errors import ExportError
from kedge_exporter.limits import family
from tests.exporter.own_layers import Scorer

OWN_LAYERS = Path(__file__).with_name("own_layers.py")
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


class InThisSession(layers.Layer):
    """A class that no module holds but the one that is run."""

    def call(self, inputs: Any) -> Any:  # noqa: ANN401 (Keras ships no types)
        return inputs


class Unsavable(layers.Layer):
    """Keras cannot write down what this one was made with."""

    def __init__(self, thing: object) -> None:
        super().__init__()
        self.thing = thing


def functional() -> keras.Model:
    """Two inputs, and a name that no bundle can have."""
    words, flower = keras.Input((3,), name="words", dtype="string"), keras.Input((4,), name="flower")
    numbers = layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot")(words)
    answer = layers.Dense(2, name="answer")(layers.Concatenate()([numbers, flower]))
    return keras.Model([words, flower], answer, name="my first model, v1")


def scorer() -> keras.Model:
    model = Scorer(name="scorer")
    model(np.zeros((2, 5), np.float32))
    return model


def sequential(*inner: keras.layers.Layer, name: str = "refused") -> keras.Model:
    return keras.Sequential([keras.Input((4,), name="x"), *inner], name=name)


def main(directory: Path) -> None:
    """Export, and write down what came out."""
    models = directory / "models"
    before = [signal.getsignal(number) for number in HANDLED]
    keras.utils.set_random_seed(0)
    live = functional()
    samples = {"words": np.array([["a", "b", "c"]] * 9, object), "flower": np.ones((9, 4)), "file": [1.0]}

    def first() -> Exported:
        return export_model(live, models, data=samples, formats=["onnx"], seed=3)

    def second() -> Exported:
        return export_model(
            scorer(), models, name="own", data=np.ones((9, 5)), formats="onnx", custom=OWN_LAYERS, verbose=True
        )

    with ThreadPoolExecutor(2) as pool:  # neither is the main thread
        exported = [begun.result() for begun in (pool.submit(first), pool.submit(second))]
    exported.append(first())
    attempts: dict[str, Callable[[], Exported]] = {
        "not built": lambda: export_model(keras.Sequential([layers.Dense(2)], name="empty"), models),
        "lambda": lambda: export_model(sequential(layers.Lambda(lambda x: 2 * x)), models),
        "own class, in a module": lambda: export_model(scorer(), models),
        "own class, in the session": lambda: export_model(sequential(InThisSession()), models),
        "unsavable": lambda: export_model(sequential(Unsavable(object())), models),
        "a layer": lambda: export_model(layers.Dense(2), models),
    }
    outcomes = {
        "exported": [json.loads(one.model_dump_json()) | {"shown": str(one)} for one in exported],
        "refused": {name: refusal(attempt) for name, attempt in attempts.items()},
        "handlers are the same": [signal.getsignal(number) for number in HANDLED] == before,
        "processes": len(family(os.getpid())),
    }
    (directory / "outcomes.json").write_text(json.dumps(outcomes))


def refusal(attempt: Callable[[], Exported]) -> tuple[str, str]:
    """Which exception an export ends with, and what it says."""
    try:
        return "none", str(attempt())
    except ExportError as error:
        return type(error).__name__, str(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
