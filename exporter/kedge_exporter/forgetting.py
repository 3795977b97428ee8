# ruff: noqa: ANN401 (Keras ships no types)
"""Keras' eager answers in the memory that they need. Imports Keras.

A Functional model keeps the answer of every layer until it has answered itself: gigabytes for a few images, and seconds
to touch them. Here each is dropped when the last layer that reads it has been given it.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras  # noqa: TID253 (one of the modules that know Keras)


@contextmanager
def forgetting() -> Iterator[None]:
    """While entered, the Functional models that this thread calls forget what nothing will read any more."""
    function, arguments = keras.src.ops.function.Function, keras.src.ops.symbolic_arguments.SymbolicArguments
    run, fill_in = function._run_through_graph, arguments.fill_in  # noqa: SLF001 (there is no public way in)
    thread = threading.get_ident()
    running: list[Counter[int]] = []

    def running_through(self: Any, *given: Any, **settings: Any) -> Any:
        if threading.get_ident() != thread:
            return run(self, *given, **settings)
        running.append(_readings(self))
        try:
            return run(self, *given, **settings)
        finally:
            running.pop()

    def filling_in(self: Any, tensors: dict[int, Any]) -> Any:
        filled = fill_in(self, tensors)
        if running and threading.get_ident() == thread:
            for key in {id(tensor) for tensor in self.keras_tensors}:
                running[-1][key] -= 1
                if not running[-1][key]:
                    del tensors[key]
        return filled

    function._run_through_graph, arguments.fill_in = running_through, filling_in  # noqa: SLF001
    try:
        yield
    finally:
        function._run_through_graph, arguments.fill_in = run, fill_in  # noqa: SLF001


def _readings(function: Any) -> Counter[int]:
    """How often each tensor of a Functional model is read, by the ids that Keras knows them by; answers once more."""
    nodes = [node for nodes in function._nodes_by_depth.values() for node in nodes]  # noqa: SLF001
    readings = Counter(key for node in nodes for key in {id(tensor) for tensor in node.arguments.keras_tensors})
    readings.update({id(tensor) for tensor in function.outputs})
    return readings
