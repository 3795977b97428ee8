"""How many values of an output err by how much, in bins that are the same everywhere: they can be added up.

The errors are those of `Yardstick.errors`: differences from the reference, each by the size of its channel.
"""

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

LOWEST, HIGHEST, PER_DECADE = -16, 0, 2
BINS = (HIGHEST - LOWEST) * PER_DECADE


def edges() -> tuple[float, ...]:
    """The powers of ten between the bins, from the lowest to the highest; one more than there are bins."""
    return tuple(LOWEST + bound / PER_DECADE for bound in range(BINS + 1))


class ErrorHistogram(BaseModel):
    """Values by the size of their error.

    Attributes:
        equal: values without any error.
        counts: values by half decades, from 1e-16 of the channel's size to all of it; what is smaller stands in the
            first bin, what is larger in the last.
    """

    model_config = ConfigDict(frozen=True)

    equal: int = Field(default=0, ge=0)
    counts: tuple[int, ...] = (0,) * BINS

    @model_validator(mode="after")
    def _has_every_bin(self) -> Self:
        if len(self.counts) != BINS or min(self.counts) < 0:
            raise ValueError(f"expected {BINS} counts of values, got {len(self.counts)}, the least {min(self.counts)}")
        return self

    @classmethod
    def of(cls, errors: NDArray[np.floating]) -> Self:
        """Count errors, of any shape and float dtype; NaN is no error and is not counted."""
        wide = np.abs(errors.astype(np.float64)).ravel()
        off = wide[wide > 0]  # neither equal nor NaN
        bins = np.floor((np.log10(np.minimum(off, 1.0)) - LOWEST) * PER_DECADE).astype(np.int64)
        counts = np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)
        return cls(equal=int((wide == 0).sum()), counts=tuple(counts.tolist()))

    def __add__(self, other: "ErrorHistogram") -> "ErrorHistogram":
        return ErrorHistogram(
            equal=self.equal + other.equal,
            counts=tuple(mine + its for mine, its in zip(self.counts, other.counts, strict=True)),
        )

    @property
    def values(self) -> int:
        """How many values were counted."""
        return self.equal + sum(self.counts)

    @property
    def median(self) -> float:
        """The upper bound of the bin with the median error; 0 where half the values are equal, NaN of none."""
        if not self.values:
            return math.nan
        seen = np.cumsum((self.equal, *self.counts))
        place = int(np.searchsorted(seen, self.values / 2))
        return 0.0 if place == 0 else float(10.0 ** edges()[place])


class OutputHistogram(BaseModel):
    """The errors of one output over all cases, the artifact's and Keras' own side by side.

    Attributes:
        format: the artifact's name.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    output: str
    artifact: ErrorHistogram
    keras: ErrorHistogram

    def __add__(self, other: "OutputHistogram") -> "OutputHistogram":
        if (self.format, self.output) != (other.format, other.output):
            raise ValueError(f"'{self.output}' of {self.format} is not '{other.output}' of {other.format}")
        added = {"artifact": self.artifact + other.artifact, "keras": self.keras + other.keras}
        return self.model_copy(update=added)
