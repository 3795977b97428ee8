"""One node of a frozen graph, as a rewrite sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

Tensor = Any
"""A symbolic TensorFlow tensor; TensorFlow ships no types."""


@dataclass(frozen=True)
class Node:
    """What a rewrite may ask of the node that it replaces.

    Attributes:
        name: where it stands in the graph.
        inputs: the tensors to compute from, with the shapes that the graph knows.
        constants: the value of each input where it does not depend on the model's inputs; None elsewhere.
        producers: the operation of the graph that makes each input, to look around; never to compute from.
        attribute: an attribute of the op by its name.
    """

    name: str
    inputs: tuple[Tensor, ...]
    constants: tuple[NDArray[Any] | None, ...]
    producers: tuple[Any, ...]
    attribute: Callable[[str], Any]

    def integers(self, name: str) -> list[int]:
        """A list attribute of integers: strides, sizes of windows."""
        return [int(value) for value in self.attribute(name)]

    def text(self, name: str) -> str:
        """A string attribute."""
        value = self.attribute(name)
        return value.decode() if isinstance(value, bytes) else str(value)


Rewrite = Callable[[Node], Tensor | None]
"""Builds the op anew from ops with builtin forms; None where this node can stay as it is.

Raises:
    CannotRewrite: there is no such form for this node.
"""


class CannotRewrite(Exception):
    """Why a node has no builtin form, and what to do about it."""


def sizes(tensor: Tensor) -> list[Any]:
    """The size of every axis: a number where the graph knows it, else a scalar tensor."""
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(tensor.shape.as_list())]
