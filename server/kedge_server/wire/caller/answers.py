"""What a client gets: answers, signatures, warnings. Plain values, whichever protocol they came by."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Trailing = Iterable[tuple[str, str | bytes]]

_WARNINGS_KEY = "kedge-input-violations"


@dataclass(frozen=True)
class Strayed:
    """A feature of an input outside of what training saw; the server answered all the same."""

    input: str
    feature: int
    kind: str
    value: float
    expected: str

    def __str__(self) -> str:
        where = f"input '{self.input}', feature {self.feature}"
        return f"{where}: {self.value:.6g} ({self.kind}); training saw {self.expected}"


@dataclass(frozen=True)
class Answer:
    """What a model answered, which version of it, and where the inputs strayed from training (at most 16 features)."""

    model: str
    version: int
    outputs: Arrays
    warnings: tuple[Strayed, ...] = ()


@dataclass(frozen=True)
class Tensor:
    """A tensor of a signature; None in the shape is any size."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Metadata:
    """A model's versions that the server told of, and its signature."""

    name: str
    versions: tuple[int, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def open_shape(sizes: Iterable[int]) -> tuple[int | None, ...]:
    """A shape of the wire, where -1 is any size."""
    return tuple(None if size < 0 else size for size in sizes)


def warnings_of(trailing: Trailing) -> tuple[Strayed, ...]:
    """The warnings in trailing metadata; values that JSON has no number for come as "NaN" and "Infinity"."""
    text = next((value for key, value in trailing if key == _WARNINGS_KEY), "[]")
    return tuple(Strayed(**{**each, "value": float(each["value"])}) for each in json.loads(text))
