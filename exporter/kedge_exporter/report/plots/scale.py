"""A logarithmic scale of errors on which no error at all has a place as well. Knows no library."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_FEWEST_DECADES = 2
_MOST_TICKS = 7
_GAP = 0.9
"""Decades between no error and the smallest."""


@dataclass(frozen=True)
class ErrorScale:
    """Powers of ten from `low` to `high`, and the place of zero below."""

    low: int
    high: int

    @classmethod
    def of(cls, errors: Iterable[float | None]) -> "ErrorScale":
        """A scale for these errors; what is no positive number takes no part."""
        decades = [math.log10(error) for error in errors if error is not None and 0 < error < math.inf]
        low = math.floor(min(decades, default=-8))
        return cls(low, max(math.ceil(max(decades, default=-6)), low + _FEWEST_DECADES))

    @property
    def zero(self) -> float:
        """Where an error of 0 stands."""
        return self.low - _GAP

    def place(self, error: float) -> float:
        """Where an error stands; what is beyond the scale stands at its end."""
        if math.isnan(error) or error == math.inf:
            return float(self.high)
        return self.zero if error <= 0 else min(max(math.log10(error), self.low), self.high)

    def ticks(self) -> list[int]:
        """Powers of ten to write, evenly apart."""
        step = math.ceil((self.high - self.low + 1) / _MOST_TICKS)
        return list(range(self.low, self.high + 1, step))
