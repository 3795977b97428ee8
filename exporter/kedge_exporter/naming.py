"""The names of a model's tensors and layers: those of the Keras model, and what TensorFlow lets them be called."""

import re
from collections.abc import Iterable, Mapping, Sequence

_NOT_IN_ARGUMENTS = re.compile(r"[^A-Za-z0-9_]")
_NOT_IN_SCOPES = re.compile(r"[^A-Za-z0-9_.\-/]")
_COUNTER = re.compile(r"_\d+$")

Path = Sequence[object]
"""Where a tensor stands in nested lists and dicts: `("boxes", 0)`."""


def structure_names(paths: Sequence[Path], given: Sequence[str]) -> list[str]:
    """Name the tensors of a nested structure, in its flat order: dict keys where it uses dicts, `given` elsewhere.

    Args:
        paths: the path of every tensor.
        given: the name that each tensor has where no dict names it.
    """
    names = [
        "_".join(str(step) for step in path) if any(isinstance(step, str) for step in path) else name
        for path, name in zip(paths, given, strict=True)
    ]
    return unique(names)


def unique(names: Iterable[str]) -> list[str]:
    """The names, with `_1`, `_2` … after the second and later of the same one (a layer with several outputs)."""
    taken: set[str] = set()
    found: list[str] = []
    for name in names:
        candidate, number = name, 0
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        found.append(candidate)
    return found


def argument_names(names: Sequence[str]) -> dict[str, str]:
    """What to call each tensor as an argument of a TensorFlow function, which knows letters, digits and `_` only."""
    cleaned = []
    for name in names:
        plain = _NOT_IN_ARGUMENTS.sub("_", name)
        cleaned.append(plain if plain[:1].isalpha() else f"x{plain}")
    return dict(zip(names, unique(cleaned), strict=True))


def scope_name(layer: str) -> str:
    """The scope in which the nodes of a layer stand: TensorFlow takes letters, digits, `_ . - /`, and no `_` first."""
    plain = _NOT_IN_SCOPES.sub("_", layer)
    return plain if plain[:1].isalnum() else f"x{plain}"


def layer_of(node: str, layers: Mapping[str, str]) -> str | None:
    """The innermost layer in whose scope a node stands: TensorFlow may have put `_1` behind the layer's name.

    Args:
        node: the name of a node of the graph.
        layers: the model's layers, name -> class.
    """
    scopes = {scope_name(layer): layer for layer in layers}
    for scope in reversed(node.split("/")[:-1]):
        for name in (scope, _COUNTER.sub("", scope)):
            if name in scopes:
                return scopes[name]
    return None


def place(node: str, layers: Mapping[str, str]) -> str:
    """Where a node stands, for people: its layer and its name."""
    layer = layer_of(node, layers)
    return f"in the layer '{layer}' ({layers[layer]}) at '{node}'" if layer else f"at '{node}'"
