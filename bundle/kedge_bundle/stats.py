"""What training saw of each input. numpy only.

The statistics travel in the manifest. They come from `Normalization` and `Rescaling` layers inside the
model or from the user's data; `comparison.py` holds requests against them.
"""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Source = Literal["normalization-layer", "rescaling-layer", "batch-normalization-layer", "data"]


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

    def by_feature(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """View `array` (batch, ...) as (values, features), with the feature axis last."""
        if self.axis is None or array.ndim == 0:
            return array.reshape(-1, 1)
        if self.axis in (-1, array.ndim - 1):  # the usual one, for which numpy's general way takes longer than to look
            return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])  # noqa: PLR2004 (a table)
        return np.moveaxis(array, self.axis, -1).reshape(-1, array.shape[self.axis])


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
