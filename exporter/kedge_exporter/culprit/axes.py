"""The order of axes in which an artifact holds what Keras holds as (rows, ..., channels)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axes:
    """Where each of Keras' axes stands in the artifact's tensor."""

    places: tuple[int, ...]

    def as_keras(self, array: NDArray[Any]) -> NDArray[Any]:
        """The artifact's tensor in Keras' order."""
        return array.transpose(self.places)

    def as_artifact(self, array: NDArray[Any]) -> NDArray[Any]:
        """Keras' tensor in the artifact's order."""
        return np.ascontiguousarray(array.transpose(np.argsort(self.places)))


def order_of_axes(array: NDArray[Any], reference: NDArray[Any]) -> Axes | None:
    """The order that makes the artifact's tensor Keras': its own, channels first, or steps of time first.

    Where sizes are the same and several orders fit, it is the one whose values are nearest. That is right for every
    tensor before the first fault, and behind a fault for those that are still like what they should be.

    Args:
        array: the artifact's tensor.
        reference: what Keras holds.

    Returns:
        None where no order fits.
    """
    if array.ndim != reference.ndim:
        return None
    fitting = [axes for axes in _orders(array.ndim) if axes.as_keras(array).shape == reference.shape]
    if len(fitting) < 2:  # noqa: PLR2004 (nothing to choose from)
        return fitting[0] if fitting else None
    return min(fitting, key=lambda axes: _distance(axes.as_keras(array), reference))


def _orders(rank: int) -> list[Axes]:
    own = tuple(range(rank))
    if rank < 3:  # noqa: PLR2004 (rows, channels and something between)
        return [Axes(own)]
    return [Axes(own), Axes((0, *own[2:], 1)), Axes((1, 0, *own[2:]))]


def _distance(array: NDArray[Any], reference: NDArray[Any]) -> float:
    """The mean absolute difference of what is finite in both; infinite where nothing is."""
    values, right = array.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(values) & np.isfinite(right)
    return float(np.abs(values[finite] - right[finite]).mean()) if finite.any() else np.inf
