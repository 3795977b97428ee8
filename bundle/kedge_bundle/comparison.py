"""How a request's values differ from those that training saw. numpy only; used by the server at its boundary."""

from dataclasses import dataclass
from itertools import repeat
from operator import le
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.folding import folded
from kedge_bundle.stats import InputStats

Kind = Literal["nonfinite", "below-range", "above-range", "z-score", "spread"]

SPREAD_MIN_VALUES = 64
"""Values per feature from which a request's own spread says something (an image channel, a window)."""

SPREAD_RATIO = 0.1
"""A request whose whole range is this small a part of training's standard deviation was most likely normalized
once too often: pixels of 0…255 (standard deviation about 70) come out of a second normalization with a range of 1 to 4.
"""

FEW_VALUES = 64
"""Up to so many are looked at as plain numbers: a call into numpy costs more, and most where other code ran before."""

_REPORTED_FEATURES = 16
_CHANNELS, _PIXELS = 4, 16
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Limits:
    """How far a request may stray from training before it is a violation.

    Attributes:
        margin: share of the training range (max - min) that a value may lie outside of it.
        z_score: largest distance from the training mean, in training standard deviations.
    """

    margin: float = 0.1
    z_score: float = 8.0


@dataclass(frozen=True)
class StatViolation:
    """One feature of one input outside of what training saw; `value` is the worst value that came."""

    input: str
    feature: int
    kind: Kind
    value: float
    expected: str
    count: int

    def describe(self) -> str:
        """A sentence for the caller: input, feature, value and what training saw."""
        where = f"input '{self.input}', feature {self.feature}"
        return f"{where}: {self.value:.6g} ({self.kind}); training saw {self.expected}"


class Comparison:
    """One input's values beside what training saw of them; what is asked in every request is worked out once.

    Args:
        stats: of the input.
        limits: how far is too far.
    """

    def __init__(self, stats: InputStats, limits: Limits) -> None:
        self.input = stats.input
        self._stats = stats
        self._features = stats.features
        self._limits = limits
        names = ("mean", "std", "min", "max")
        given = {name: getattr(stats, name) for name in names}
        self._seen = {name: np.asarray(values, np.float64) for name, values in given.items() if values is not None}
        # Each feature's least and largest value that is no violation; infinity never is.
        low, high = self._bounds()
        self._low, self._high = np.maximum(low, -_LARGEST), np.minimum(high, _LARGEST)
        speaks_for_all = self._features == 1
        self._each_low = repeat(float(self._low[0])) if speaks_for_all else self._low.tolist()
        self._each_high = repeat(float(self._high[0])) if speaks_for_all else self._high.tolist()
        # The two that are within those of every feature.
        self._highest_low, self._lowest_high = float(self._low.max()), float(self._high.min())
        # The bits of the largest float32 within, where training held nothing negative and 0 is within; else -1.
        are_from_0 = "min" in self._seen and float(self._seen["min"].min()) >= 0
        can_be_seen_by_bits = are_from_0 and self._highest_low <= 0 <= self._lowest_high
        self._most_bits = _bits(self._lowest_high) if can_be_seen_by_bits else -1
        self._least_spread = self._work_out_least_spread()

    def violations(self, array: NDArray[np.generic]) -> list[StatViolation]:
        """Compare one request's values with training, at most one violation per feature and kind.

        Args:
            array: the input, shape (rows, ...), any real dtype.
        """
        table = self._stats.by_feature(array)
        if self._features not in (1, table.shape[1]) or self._is_clean(table):
            return []
        return self._explain(table.astype(np.float64))

    def is_clean(self, array: NDArray[np.generic]) -> bool:
        """Whether every value is finite and like those of training: `violations` would find nothing.

        Args:
            array: the input, shape (rows, ...), any real dtype, not empty.
        """
        table = self._stats.by_feature(array)
        return self._features in (1, table.shape[1]) and self._is_clean(table)

    def _bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seen = self._seen
        low, high = np.full(self._features, -np.inf), np.full(self._features, np.inf)
        if "min" in seen:
            slack = self._limits.margin * (seen["max"] - seen["min"])
            low, high = seen["min"] - slack, seen["max"] + slack
        if "mean" in seen:
            near_low, near_high = self._near()
            low, high = np.maximum(low, near_low), np.minimum(high, near_high)
        return low, high

    def _near(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The least and the largest value that is no z-score violation.

        What training itself held is never too far: sparse features have ordinary values many deviations away.
        """
        seen = self._seen
        reach = self._limits.z_score * self._usable_std()
        low, high = seen["mean"] - reach, seen["mean"] + reach
        if "min" in seen:
            low, high = np.minimum(low, seen["min"]), np.maximum(high, seen["max"])
        return low, high

    def _usable_std(self) -> NDArray[np.float64]:
        """The standard deviation, kept off zero: a feature that was constant in training still has rounding."""
        floor: NDArray[np.float64] = 1e-6 * np.maximum(np.abs(self._seen["mean"]), 1.0)
        return np.maximum(self._seen["std"], floor)

    def _work_out_least_spread(self) -> tuple[float, ...]:
        """How much each feature must vary within a request of many values: a part of training's standard deviation.

        Where only the range is known, of that of a uniform draw from it.
        """
        seen = self._seen
        usual = seen["std"] if "std" in seen else (seen["max"] - seen["min"]) / np.sqrt(12)
        return tuple((SPREAD_RATIO * usual).tolist())

    def _is_clean(self, table: NDArray[np.generic]) -> bool:
        """The common case, in two passes over the values: everything finite, within bounds, not collapsed."""
        if len(table) < SPREAD_MIN_VALUES:  # NaN is within no bounds
            if table.size <= FEW_VALUES:
                return self._are_few_within(table)
            values: NDArray[Any] = table
            return bool(np.count_nonzero((values >= self._low) & (values <= self._high)) == table.size)
        if table.shape[1] <= _CHANNELS and self._is_plainly_clean(table):
            return True
        least, largest = (folded(table, ufunc).astype(np.float64) for ufunc in (np.minimum, np.maximum))
        inside = np.count_nonzero((least >= self._low) & (largest <= self._high)) == least.size
        return inside and not self._collapsed(len(table), largest - least).any()

    def _are_few_within(self, table: NDArray[np.generic]) -> bool:
        """Whether all values are finite and within the bounds of their features."""
        low, high = self._each_low, self._each_high
        return all(all(map(le, low, row)) and all(map(le, row, high)) for row in table.tolist())

    def _is_plainly_clean(self, table: NDArray[np.generic]) -> bool:
        """The common image: all channels within the bounds of each, and a few of its pixels differ enough already."""
        if not self._are_plainly_within(table):
            return False
        first, *others = table[:: len(table) // _PIXELS].tolist()
        least = self._least_spread * len(first) if self._features == 1 else self._least_spread
        for channel, wanted in enumerate(least):
            value = first[channel]
            for pixel in others:
                if abs(pixel[channel] - value) >= wanted:
                    break
            else:
                return False
        return True

    def _are_plainly_within(self, table: NDArray[np.generic]) -> bool:
        """Whether all values are finite and within the bounds of every feature.

        The bits of float32, read as whole numbers, are in the order of the values, and behind them come infinity, NaN
        and everything negative: pixels are passed over once instead of twice.
        """
        may_be_seen_at_once = self._most_bits >= 0 and table.dtype == np.float32
        if may_be_seen_at_once and int(np.maximum.reduce(table.view(np.uint32), axis=None)) <= self._most_bits:
            return True
        least, largest = np.minimum.reduce(table, axis=None), np.maximum.reduce(table, axis=None)
        return self._highest_low <= float(least) and float(largest) <= self._lowest_high

    def _collapsed(self, values: int, spread: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which features vary far less within this request than they did in training."""
        if values < SPREAD_MIN_VALUES:
            return np.zeros(spread.shape, np.bool_)
        return spread < np.array(self._least_spread)

    def _explain(self, table: NDArray[np.float64]) -> list[StatViolation]:
        finite = np.isfinite(table)
        found = self._worst(table, ~finite, "nonfinite", np.zeros_like(table), ["only finite values"])
        clean = np.where(finite, table, np.nan)
        seen = self._seen
        seen_range: list[str] = []
        if "min" in seen:
            slack = self._limits.margin * (seen["max"] - seen["min"])
            below, above = seen["min"] - slack - clean, clean - seen["max"] - slack
            seen_range = [f"{low:.6g} to {high:.6g}" for low, high in zip(seen["min"], seen["max"], strict=True)]
            found += self._worst(clean, below > 0, "below-range", below, seen_range)
            found += self._worst(clean, above > 0, "above-range", above, seen_range)
        seen_mean: list[str] = []
        if "mean" in seen:
            z = np.abs(clean - seen["mean"]) / self._usable_std()
            seen_mean = [f"mean {mean:.6g}, std {std:.6g}" for mean, std in zip(seen["mean"], seen["std"], strict=True)]
            low, high = self._near()
            found += self._worst(clean, (clean < low) | (clean > high), "z-score", z, seen_mean)
        if finite.all():
            spread = table.max(axis=0) - table.min(axis=0)
            for i in np.flatnonzero(self._collapsed(table.shape[0], spread))[:_REPORTED_FEATURES]:
                expected = _of(seen_mean or seen_range, int(i)) + "; is it normalized already?"
                found.append(StatViolation(self.input, int(i), "spread", float(spread[i]), expected, table.shape[0]))
        return found

    def _worst(
        self,
        table: NDArray[np.float64],
        bad: NDArray[np.bool_],
        kind: Kind,
        badness: NDArray[np.float64],
        seen: list[str],
    ) -> list[StatViolation]:
        features = np.flatnonzero(bad.any(axis=0))[:_REPORTED_FEATURES]
        found = []
        for i in features:
            row = int(np.argmax(np.where(bad[:, i], badness[:, i], -np.inf)))
            found.append(
                StatViolation(self.input, int(i), kind, float(table[row, i]), _of(seen, int(i)), int(bad[:, i].sum()))
            )
        return found


def _bits(value: float) -> int:
    """Those of the largest float32 that is not above a value, which is 0 or more."""
    nearest = np.float32(min(value, float(np.finfo(np.float32).max)))
    if float(nearest) > value:
        nearest = np.nextafter(nearest, np.float32(0))
    return int(nearest.view(np.uint32))


def _of(seen: list[str], feature: int) -> str:
    """What was seen of one feature; a single entry speaks for all."""
    return seen[feature if len(seen) > 1 else 0]
