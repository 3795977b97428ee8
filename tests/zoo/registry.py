"""What the zoo is made of: each builder makes one model, and says what must come of it. Imports no Keras."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.manifest import FORMATS, FormatName

OWN_PARTS = Path(__file__).with_name("own_parts.py")
FOREIGN = Path(__file__).with_name("foreign")

Samples = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ZooModel:
    """One model of the zoo.

    Attributes:
        build: makes the Keras model; None where `file` is a `.keras` file that something else saved.
        family: the heading that it stands under.
        is_fast: whether it belongs to the half that `make test` runs.
        custom: the module of the classes that it needs, as `--custom` takes it.
        samples: makes the rows for `--data`, where drawn inputs would say little.
        refused: format -> regular expression that the refusal must match; every other format must be proven.
        constant: outputs that are the same for every input, by their nature; such a note fails the zoo elsewhere.
        vary: whether weights that begin constant are drawn anew.
        answers: what the maker of `file` answered: `<case>/input|output/<name>`.
    """

    name: str
    family: str
    about: str
    build: Callable[[], Any] | None = None
    file: Path | None = None
    is_fast: bool = False
    custom: Path | None = None
    samples: Callable[[], Samples] | None = None
    refused: dict[FormatName, str] = field(default_factory=dict)
    constant: frozenset[str] = frozenset()
    vary: bool = True
    answers: Path | None = None

    @property
    def proven(self) -> tuple[FormatName, ...]:
        """The formats that must be proven."""
        return tuple(name for name in FORMATS if name not in self.refused)


ZOO: dict[str, ZooModel] = {}
"""Every model, by name, in the order in which the modules of `models/` register them."""


def zoo(  # noqa: PLR0913 (keywords, of which a builder gives one or two)
    family: str,
    *,
    fast: bool = True,
    custom: Path | None = None,
    samples: Callable[[], Samples] | None = None,
    refused: dict[FormatName, str] | None = None,
    constant: tuple[str, ...] = (),
    vary: bool = True,
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a builder under the name of its function; the first line of its docstring stands in the table."""

    def register(build: Callable[[], Any]) -> Callable[[], Any]:
        add(
            ZooModel(
                name=build.__name__,
                family=family,
                about=(inspect.getdoc(build) or "").splitlines()[0].rstrip("."),
                build=build,
                is_fast=fast,
                custom=custom,
                samples=samples,
                refused=refused or {},
                constant=frozenset(constant),
                vary=vary,
            )
        )
        return build

    return register


def add(model: ZooModel) -> None:
    """Put one model into the zoo."""
    if model.name in ZOO:
        raise ValueError(f"two models of the zoo are called '{model.name}'")
    ZOO[model.name] = model


def rng() -> np.random.Generator:
    """The seeded source of whatever a builder draws."""
    return np.random.default_rng(20)
