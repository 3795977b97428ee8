"""A case of a handler's test: a function of TensorFlow, and what to ask it. TensorFlow itself is not imported here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RNG = np.random.default_rng(0)
SPECIAL = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5]] * 2, np.float32)
"""What arithmetic stumbles over, twice, since one row may be broadcast."""


def normal(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


def integers(low: int, high: int, *shape: int, dtype: str = "int32") -> NDArray[Any]:
    return RNG.integers(low, high, shape).astype(dtype)


@dataclass(frozen=True)
class Case:
    """One small graph.

    Attributes:
        function: takes the module `tf` and a tensor for each array; answers a tensor or a tuple of them.
        inputs: what is asked; strings are arrays of bytes objects.
        shapes: the shapes to trace with; an open first axis where None.
        refused: words of the refusal; empty where the answers must be equal.
        opset: the ONNX opset.
        tolerance: how far floats may be off, relative and absolute.
    """

    function: Callable[..., Any]
    inputs: tuple[NDArray[Any], ...]
    shapes: tuple[tuple[int | None, ...], ...] | None = None
    refused: tuple[str, ...] = ()
    opset: int = 18
    tolerance: float = 1e-5
