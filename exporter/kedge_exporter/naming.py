"""The names of a model's tensors: those of the Keras model, and what TensorFlow lets an argument be called."""

import re
from collections.abc import Iterable, Sequence

_NOT_IN_ARGUMENTS = re.compile(r"[^A-Za-z0-9_]")

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
