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
        producers: the name of the node that makes each input.
        attribute: an attribute of the op by its name.
    """

    name: str
    inputs: tuple[Tensor, ...]
    constants: tuple[NDArray[Any] | None, ...]
    producers: tuple[str, ...]
    attribute: Callable[[str], Any]

    def integers(self, name: str) -> list[int]:
        """A list attribute of integers: strides, sizes of windows."""
        return [int(value) for value in self.attribute(name)]

    def text(self, name: str) -> str:
        """A string attribute."""
        value = self.attribute(name)
        return value.decode() if isinstance(value, bytes) else str(value)


def always(_: object) -> bool:
    """Whether a rewrite applies where nothing needs to be asked."""
    return True


@dataclass(frozen=True)
class Rewrite:
    """Another form of one op.

    Attributes:
        form: builds it from ops that have builtin forms; raises `CannotRewrite` where there is none.
        applies: whether an operation of the graph needs it; asked first, since most operations do not.
    """

    form: Callable[[Node], Tensor]
    applies: Callable[[Any], bool] = always


class CannotRewrite(Exception):
    """Why a node has no builtin form, and what to do about it.

    Attributes:
        op: the op; empty in a rewrite itself, which leaves it to its caller to say.
        node: the node's name; empty likewise.
    """

    def __init__(self, reason: str, *, op: str = "", node: str = "") -> None:
        self.op = op
        self.node = node
        super().__init__(reason)


def sizes(tensor: Tensor) -> list[Any]:
    """The size of every axis: a number where the graph knows it, else a scalar tensor."""
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(tensor.shape.as_list())]
