"""What training saw of each input, and how a request differs from it. numpy only.

The statistics travel in the manifest. They come from `Normalization` and `Rescaling` layers inside the
model or from the user's data; the comparison is used by the server at its boundary.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kedge_bundle.folding import folded

Source = Literal["normalization-layer", "rescaling-layer", "batch-normalization-layer", "data"]
Kind = Literal["nonfinite", "below-range", "above-range", "z-score", "spread"]

SPREAD_MIN_VALUES = 64
"""Values per feature from which a request's own spread says something (an image channel, a window)."""

SPREAD_RATIO = 0.1
"""A request whose whole range is this small a part of training's standard deviation was most likely normalized
once too often: pixels of 0…255 (standard deviation about 70) come out of a second normalization with a range of 1 to 4.
"""

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


class _Bounds(NamedTuple):
    """Each feature's least and largest value that is no violation; the two that are within those of every feature.

    `most_bits`: the bits of the largest float32 within, where training held nothing negative and 0 is within; else -1.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    highest_low: float
    lowest_high: float
    most_bits: int


class InputStats(BaseModel):
    """Statistics of one input as the model receives it, before any layer.

    The feature axis is the last axis of the input unless `axis` says otherwise; each tuple has one number per
    feature, or a single number that speaks for all of them. Units are those of the input.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    input: str = Field(min_length=1)
    axis: int | None = Field(default=-1, description="Feature axis of the input; None: one feature for all values.")
    source: Source
    layer: str | None = Field(default=None, description="The layer that the numbers were read from.")
    n: int | None = Field(default=None, ge=1, description="Rows that the numbers were computed from, where known.")
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    min: tuple[float, ...] | None = None
    max: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        given = [values for values in (self.mean, self.std, self.min, self.max) if values is not None]
        if not given:
            raise ValueError(f"statistics of input '{self.input}' hold no number")
        if len({len(values) for values in given}) != 1 or not given[0]:
            raise ValueError(f"statistics of input '{self.input}' differ in their number of features")
        if (self.mean is None) != (self.std is None) or (self.min is None) != (self.max is None):
            raise ValueError(f"statistics of input '{self.input}' need mean with std, and min with max")
        return self

    @property
    def features(self) -> int:
        """How many features the numbers are for."""
        return len(self.mean or self.min or ())

    @cached_property
    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        names = ("mean", "std", "min", "max")
        return {name: np.asarray(getattr(self, name), np.float64) for name in names if getattr(self, name) is not None}

    def by_feature(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """View `array` (batch, ...) as (values, features), with the feature axis last."""
        if self.axis is None or array.ndim == 0:
            return array.reshape(-1, 1)
        if self.axis in (-1, array.ndim - 1):  # the usual one, for which numpy's general way takes longer than to look
            return array.reshape(-1, array.shape[-1])
        return np.moveaxis(array, self.axis, -1).reshape(-1, array.shape[self.axis])

    def violations(self, array: NDArray[np.generic], limits: Limits) -> list[StatViolation]:
        """Compare one request's values with training, at most one violation per feature and kind.

        Args:
            array: the input, shape (rows, ...), any real dtype.
            limits: how far is too far.
        """
        table = self.by_feature(array)
        if self.features not in (1, table.shape[1]) or self._is_clean(table, limits):
            return []
        return self._explain(table.astype(np.float64), limits)

    def is_clean(self, array: NDArray[np.generic], limits: Limits) -> bool:
        """Whether every value is finite and like those of training: `violations` would find nothing.

        Args:
            array: the input, shape (rows, ...), any real dtype, not empty.
            limits: how far is too far.
        """
        table = self.by_feature(array)
        return self.features in (1, table.shape[1]) and self._is_clean(table, limits)

    @cached_property
    def _bounds_by_limits(self) -> dict[Limits, _Bounds]:
        """The bounds that were worked out already: a server has one set of limits, and asks with every request."""
        return {}

    def _bounds(self, limits: Limits) -> _Bounds:
        """The least and the largest value of each feature that is no violation."""
        bounds = self._bounds_by_limits.get(limits)
        if bounds is None:
            bounds = self._bounds_by_limits[limits] = self._work_out_bounds(limits)
        return bounds

    def _work_out_bounds(self, limits: Limits) -> _Bounds:
        stats = self._arrays
        low, high = np.full(self.features, -np.inf), np.full(self.features, np.inf)
        if "min" in stats:
            slack = limits.margin * (stats["max"] - stats["min"])
            low, high = stats["min"] - slack, stats["max"] + slack
        if "mean" in stats:
            near_low, near_high = self._near(limits)
            low, high = np.maximum(low, near_low), np.minimum(high, near_high)
        low, high = np.maximum(low, -_LARGEST), np.minimum(high, _LARGEST)  # infinity is never within
        highest_low, lowest_high = float(low.max()), float(high.min())
        are_from_0 = "min" in stats and float(stats["min"].min()) >= 0 and highest_low <= 0 <= lowest_high
        return _Bounds(low, high, highest_low, lowest_high, _bits(lowest_high) if are_from_0 else -1)

    def _near(self, limits: Limits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The least and the largest value that is no z-score violation.

        What training itself held is never too far: sparse features have ordinary values many deviations away.
        """
        stats = self._arrays
        reach = limits.z_score * self._usable_std
        low, high = stats["mean"] - reach, stats["mean"] + reach
        if "min" in stats:
            low, high = np.minimum(low, stats["min"]), np.maximum(high, stats["max"])
        return low, high

    def _is_clean(self, table: NDArray[np.generic], limits: Limits) -> bool:
        """The common case, in two passes over the values: everything finite, within bounds, not collapsed."""
        bounds = self._bounds(limits)
        low, high = bounds.low, bounds.high
        if len(table) < SPREAD_MIN_VALUES:  # NaN is within no bounds
            values: NDArray[Any] = table
            return bool(np.count_nonzero((values >= low) & (values <= high)) == table.size)
        if table.shape[1] <= _CHANNELS and self._is_plainly_clean(table, bounds):
            return True
        least, largest = (folded(table, ufunc).astype(np.float64) for ufunc in (np.minimum, np.maximum))
        inside = np.count_nonzero((least >= low) & (largest <= high)) == least.size
        return inside and not self._collapsed(len(table), largest - least).any()

    def _is_plainly_clean(self, table: NDArray[np.generic], bounds: _Bounds) -> bool:
        """The common image: all channels within the bounds of each, and a few of its pixels differ enough already.

        Plain numbers where there are few: a call into numpy costs more than to look at sixteen of them.
        """
        if not self._are_plainly_within(table, bounds):
            return False
        first, *others = table[:: len(table) // _PIXELS].tolist()
        least = self._least_spread * len(first) if self.features == 1 else self._least_spread
        for channel, wanted in enumerate(least):
            value = first[channel]
            for pixel in others:
                if abs(pixel[channel] - value) >= wanted:
                    break
            else:
                return False
        return True

    def _are_plainly_within(self, table: NDArray[np.generic], bounds: _Bounds) -> bool:
        """Whether all values are finite and within the bounds of every feature.

        The bits of float32, read as whole numbers, are in the order of the values, and behind them come infinity, NaN
        and everything negative: pixels are passed over once instead of twice.
        """
        may_be_seen_at_once = bounds.most_bits >= 0 and table.dtype == np.float32
        if may_be_seen_at_once and int(np.maximum.reduce(table.view(np.uint32), axis=None)) <= bounds.most_bits:
            return True
        least, largest = np.minimum.reduce(table, axis=None), np.maximum.reduce(table, axis=None)
        return bounds.highest_low <= float(least) and float(largest) <= bounds.lowest_high

    def _collapsed(self, values: int, spread: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which features vary far less within this request than they did in training."""
        if values < SPREAD_MIN_VALUES:
            return np.zeros(spread.shape, np.bool_)
        return spread < np.array(self._least_spread)

    @cached_property
    def _least_spread(self) -> tuple[float, ...]:
        """How much each feature must vary within a request of many values: a part of training's standard deviation.

        Where only the range is known, of that of a uniform draw from it.
        """
        stats = self._arrays
        usual = stats["std"] if "std" in stats else (stats["max"] - stats["min"]) / np.sqrt(12)
        return tuple((SPREAD_RATIO * usual).tolist())

    @cached_property
    def _usable_std(self) -> NDArray[np.float64]:
        """The standard deviation, kept off zero: a feature that was constant in training still has rounding."""
        stats = self._arrays
        floor: NDArray[np.float64] = 1e-6 * np.maximum(np.abs(stats["mean"]), 1.0)
        return np.maximum(stats["std"], floor)

    def _explain(self, table: NDArray[np.float64], limits: Limits) -> list[StatViolation]:
        finite = np.isfinite(table)
        found = self._worst(table, ~finite, "nonfinite", np.zeros_like(table), ["only finite values"])
        clean = np.where(finite, table, np.nan)
        stats = self._arrays
        seen_range: list[str] = []
        if "min" in stats:
            slack = limits.margin * (stats["max"] - stats["min"])
            below, above = stats["min"] - slack - clean, clean - stats["max"] - slack
            seen_range = [f"{low:.6g} to {high:.6g}" for low, high in zip(stats["min"], stats["max"], strict=True)]
            found += self._worst(clean, below > 0, "below-range", below, seen_range)
            found += self._worst(clean, above > 0, "above-range", above, seen_range)
        seen_mean: list[str] = []
        if "mean" in stats:
            z = np.abs(clean - stats["mean"]) / self._usable_std
            seen_mean = [
                f"mean {mean:.6g}, std {std:.6g}" for mean, std in zip(stats["mean"], stats["std"], strict=True)
            ]
            low, high = self._near(limits)
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


def stats_of_data(name: str, array: NDArray[np.generic], n: int) -> InputStats | None:
    """Statistics of the user's samples of one input, shape (rows, ...), per last axis; None for strings and bools.

    The standard deviation is that of the population, as `Normalization.adapt` computes it.
    """
    if array.dtype.kind not in "iuf" or array.size == 0:
        return None
    scalar_rows = array.ndim <= 1
    table = array.reshape(-1, 1 if scalar_rows else array.shape[-1]).astype(np.float64)
    table = np.where(np.isfinite(table), table, np.nan)
    if np.isnan(table).all(axis=0).any():
        return None
    return InputStats(
        input=name,
        axis=None if scalar_rows else -1,
        source="data",
        n=n,
        mean=tuple(np.nanmean(table, axis=0).tolist()),
        std=tuple(np.nanstd(table, axis=0).tolist()),
        min=tuple(np.nanmin(table, axis=0).tolist()),
        max=tuple(np.nanmax(table, axis=0).tolist()),
    )
