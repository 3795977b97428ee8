"""What training saw of each input: from the layers that read it and from the user's data. numpy only."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.signature import Signature, Tensors
from kedge_bundle.stats import InputStats, stats_of_data
from kedge_exporter.readings import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

_FAR_SIGMA = 5.0
"""From how many standard deviations on the means of layer and data are worth a word to the user."""


def input_statistics(
    signature: Signature, readings: dict[str, list[Reading]], data: Tensors | None
) -> tuple[tuple[InputStats, ...], tuple[str, ...]]:
    """One `InputStats` for each input of which anything is known, and notes for the user.

    The user's data gives range and count, and mean and deviation where no layer holds those of training.
    """
    found, notes = [], []
    for spec in signature.inputs:
        layer = from_readings(spec.name, len(spec.shape), readings.get(spec.name, []))
        own = None
        if data is not None:
            array = data[spec.name]
            # Positions along an axis of unknown size are no features.
            notes += _non_finite(spec.name, array)
            own = stats_of_data(spec.name, array if spec.shape[-1] is not None else array.ravel(), array.shape[0])
        stats, note = _joined(layer, own)
        if stats is not None:
            found.append(stats)
        notes += [note] if note else []
    return tuple(found), tuple(notes)


def _non_finite(name: str, array: NDArray[np.generic]) -> list[str]:
    """A note where the user's samples hold NaN or infinity, which no statistic counts."""
    count = int((~np.isfinite(array)).sum()) if array.dtype.kind == "f" else 0
    if not count:
        return []
    return [f"--data: input '{name}': {count} of {array.size} values are NaN or infinite; statistics leave them out"]


def from_readings(name: str, rank: int, readings: list[Reading]) -> InputStats | None:
    """The statistics that layers directly on an input hold; the most telling layer speaks.

    Args:
        name: the input.
        rank: its number of axes, the batch included.
        readings: what the layers that read it tell.
    """
    makers: dict[str, Callable[[str, int, Reading], InputStats | None]] = {
        "normalization": _from_moments,
        "batch-normalization": _from_moments,
        "rescaling": _from_rescaling,
    }
    for kind, make in makers.items():
        for reading in readings:
            if reading.kind == kind and reading.is_direct and (stats := make(name, rank, reading)) is not None:
                return stats
    return None


def _from_moments(name: str, rank: int, reading: Reading) -> InputStats | None:
    """Mean and deviation; of several feature axes (each pixel its own) the last is kept and the others are pooled."""
    mean, std = reading.numbers["mean"], reading.numbers["std"]
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        return None
    axis = None
    if reading.axes:
        axis = reading.axes[-1] % rank
        axis = -1 if axis == rank - 1 else axis
        mean, std = _pooled(mean, std)
    return InputStats(
        input=name,
        axis=axis,
        source="normalization-layer" if reading.kind == "normalization" else "batch-normalization-layer",
        layer=reading.layer,
        mean=tuple(mean.ravel().tolist()),
        std=tuple(std.ravel().tolist()),
    )


def _pooled(mean: NDArray[np.float64], std: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation per last axis, of equally many values at each position of the others."""
    mean, std = mean.reshape(-1, mean.shape[-1]), std.reshape(-1, std.shape[-1])
    pooled = mean.mean(axis=0)
    return pooled, np.sqrt((std**2).mean(axis=0) + ((mean - pooled) ** 2).mean(axis=0))


def _from_rescaling(name: str, _rank: int, reading: Reading) -> InputStats | None:
    """The raw range that scale and offset imply: they bring it to 0…1, or to -1…1 where there is an offset."""
    scale, offset = np.broadcast_arrays(reading.numbers["scale"], reading.numbers["offset"])
    if not np.isfinite(scale).all() or (scale == 0).any():
        return None
    ends = np.stack([(np.where(offset == 0, 0.0, -1.0) - offset) / scale, (1.0 - offset) / scale])
    # Scales such as 1/255 are rounded; the raw range is meant to be a round number.
    ends = np.array([float(f"{value:.7g}") for value in ends.ravel()]).reshape(ends.shape) + 0.0
    return InputStats(
        input=name,
        axis=-1 if scale.size > 1 else None,
        source="rescaling-layer",
        layer=reading.layer,
        min=tuple(ends.min(axis=0).tolist()),
        max=tuple(ends.max(axis=0).tolist()),
    )


def _joined(layer: InputStats | None, own: InputStats | None) -> tuple[InputStats | None, str]:
    """One account of an input from what a layer and the data say, and a note where they disagree."""
    if layer is None or own is None:
        return own or layer, ""
    joined = own.model_copy(update={"layer": layer.layer})
    if layer.mean is None or layer.std is None or own.mean is None:
        return joined, ""
    if layer.axis != own.axis or layer.features != own.features:
        return joined, ""
    joined = joined.model_copy(update={"mean": layer.mean, "std": layer.std})
    distance = np.abs(np.subtract(own.mean, layer.mean)) / np.maximum(layer.std, 1e-6)
    if distance.max() > _FAR_SIGMA:
        worst = int(np.argmax(distance))
        return joined, (
            f"--data: input '{own.input}', feature {worst}: the mean {own.mean[worst]:.4g} lies {distance[worst]:.3g} "
            f"standard deviations from what the layer '{layer.layer}' saw ({layer.mean[worst]:.4g}); is the data raw?"
        )
    return joined, ""
