"""Makes tf2onnx work in the same order in every process, so that one model gives one file, byte for byte.

tf2onnx walks through sets of names and of nodes. Python orders the former by a hash that it seeds anew for every
process and the latter by memory addresses; the order decides which of two equal nodes stays, and what number a new node
gets.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, MutableSet
from contextlib import contextmanager
from typing import Any, Self

from tf2onnx import graph, tf_loader, utils
from tf2onnx.optimizer import back_to_back_optimizer, transpose_optimizer
from tf2onnx.rewriter import cond_rewriter, loop_rewriter, loop_rewriter_base, random_uniform, rnn_utils

_MODULES = (
    graph,
    tf_loader,
    back_to_back_optimizer,
    transpose_optimizer,
    cond_rewriter,
    loop_rewriter,
    loop_rewriter_base,
    random_uniform,
    rnn_utils,
)
"""The modules of tf2onnx that walk through sets."""
_NUMBERS = re.compile(r"(_frozen)?(_\d+)+$")


class OrderedSet(MutableSet[Hashable]):
    """A set that keeps the order in which its members came; it has the methods of `set` that tf2onnx calls."""

    def __init__(self, members: Iterable[Hashable] = ()) -> None:
        self._members = dict.fromkeys(members)

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, value: Hashable) -> None:
        """Put a member at the end; one that is there already stays where it is."""
        self._members.setdefault(value)

    def discard(self, value: Hashable) -> None:
        """Take a member out, where it is one."""
        self._members.pop(value, None)

    def pop(self) -> Hashable:
        """Take the newest member out; the mixin's oldest would copy the whole set."""
        return self._members.popitem()[0]

    def copy(self) -> Self:
        """Another set of the same members."""
        return type(self)(self._members)

    def update(self, *others: Iterable[Hashable]) -> None:
        """Add the members of the others."""
        for other in others:
            self._members.update(dict.fromkeys(other))

    def union(self, *others: Iterable[Hashable]) -> Self:
        """A set of the members of all."""
        joined = self.copy()
        joined.update(*others)
        return joined

    def intersection(self, other: Iterable[Hashable]) -> Self:
        """A set of the members that the other has, too, in this one's order."""
        wanted = frozenset(other)
        return type(self)(member for member in self._members if member in wanted)

    def issubset(self, other: Iterable[Hashable]) -> bool:
        """Whether the other has every member."""
        return self._members.keys() <= frozenset(other)


@contextmanager
def ordered() -> Iterator[None]:
    """While entered, tf2onnx's sets keep their order, and the numbers in its names begin at one."""
    utils.INTERNAL_NAME = 0
    for module in _MODULES:
        _shadow(module)
    try:
        yield
    finally:
        for module in _MODULES:
            del module.set


def _shadow(module: Any) -> None:  # noqa: ANN401 (a module)
    """Give a module a `set` of its own, in front of the builtin."""
    module.set = OrderedSet


def number_functions(graph_def: Any) -> None:  # noqa: ANN401 (TensorFlow ships no types)
    """Name the functions of a graph by the order in which it calls them, in place.

    TensorFlow numbers them by what the process traced before, and the bodies of ONNX loops are named after them.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    names: dict[str, str] = {}
    waiting = [graph_def.node]
    while waiting:
        for called in _called(waiting.pop(0)):
            if called in functions and called not in names:
                names[called] = f"{_NUMBERS.sub('', called)}_{len(names)}"
                waiting.append(functions[called].node_def)
    kept = [functions[name] for name in names]
    for nodes in (graph_def.node, *(function.node_def for function in kept)):
        for node in nodes:
            node.op = names.get(node.op, node.op)
            for value in node.attr.values():
                for reference in (value.func, *value.list.func):
                    if reference.name in names:
                        reference.name = names[reference.name]
    for function in kept:
        function.signature.name = names[function.signature.name]
    copies = [type(function).FromString(function.SerializeToString()) for function in kept]
    del graph_def.library.function[:]
    graph_def.library.function.extend(copies)


def _called(nodes: Any) -> Iterator[str]:  # noqa: ANN401
    """The functions that nodes call, by name; other names are among them."""
    for node in nodes:
        yield node.op
        for name in sorted(node.attr):
            value = node.attr[name]
            yield from (reference.name for reference in (value.func, *value.list.func))
