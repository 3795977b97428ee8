"""Keras' own rounding, and how large an output is: what the error of an artifact is measured by. All in float64.

The cases carry two answers: Keras' own, and those of the same weights in float64, the reference. An error is the
largest difference from the reference, each value by the size of its channel (the last axis): a price in millions
beside a probability must not hide it. Keras' own error, measured the same way, says what rounding does in this model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kedge_bundle.cases import Case

FACTOR = 8.0
"""How many times Keras' own error an artifact's may be: both add the same numbers, each in its own order."""

FLOOR_ULPS = 8.0
"""Units in the last place of a channel's size that are always allowed: the last digits of `exp` or `tanh` differ
between any two libraries, also where Keras' happened to be right."""

MOST = 0.1
"""Of a channel's size: an answer that may be off by more says nothing, whatever Keras' own error is."""

_BASE_KINDS = ("typical", "data")
_ENOUGH_ROWS = 8
_LEAST_SHARE = 2.0**-23
"""Of the whole output's size: a channel that is always zero, or nearly, has no size of its own."""


class Reference(BaseModel):
    """What the answers were compared with, and how far Keras' own are from it.

    Attributes:
        precision: `float64`, or `float32` where the reference is Keras itself and an explicit tolerance judges.
        reason: why there is none in float64; empty where there is.
        own: output -> kind of case -> Keras' largest error there, by the size of its channel.
        unmoved: outputs in which float64 changes nothing; their reference is Keras itself.
        probabilities: outputs that end in a softmax or a sigmoid. Their channels share one size: a probability of 1e-9
            is none of 1e-8, and neither matters. What is behind them is seen in the logits.
    """

    model_config = ConfigDict(frozen=True)

    precision: Literal["float64", "float32"]
    reason: str = ""
    own: dict[str, dict[str, float]] = {}
    unmoved: tuple[str, ...] = ()
    probabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Yardstick:
    """Sizes and Keras' own errors, over all cases of one proof.

    Attributes:
        sizes: output -> kind of case -> the size of every channel, shape (channels,) or ().
        own: output -> kind of case -> Keras' largest error, by size.
    """

    sizes: Mapping[str, Mapping[str, NDArray[np.float64]]]
    own: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, cases: Iterable[Case], known: Reference | None = None) -> "Yardstick":
        """Measure the cases; `known` has what was seen over more of them."""
        cases = list(cases)
        sizes = _sizes(cases, () if known is None else known.probabilities)
        own = _own(cases, sizes)
        for output, by_kind in (known.own if known is not None else {}).items():
            for kind, error in by_kind.items():
                if output in own:
                    own[output][kind] = max(own[output].get(kind, 0.0), error)
        return cls(sizes, own)

    def error(self, output: str, kind: str, array: NDArray[np.generic], reference: NDArray[np.generic]) -> float:
        """The largest difference over what is finite on both sides, by the size of its channel."""
        return float(self.errors(output, kind, array, reference).max(initial=0.0))

    def errors(
        self, output: str, kind: str, array: NDArray[np.generic], reference: NDArray[np.generic]
    ) -> NDArray[np.float64]:
        """Every difference by the size of its channel, over what is finite on both sides; shape (values,)."""
        wide, exact = array.astype(np.float64), reference.astype(np.float64)
        finite = np.isfinite(wide) & np.isfinite(exact)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.abs(wide - exact) / self.sizes[output][kind]
        return np.asarray(scaled[finite])

    def own_error(self, output: str, kind: str) -> float:
        """Keras' own error on cases of this kind, or on usual ones if it is larger there: a few rows can be lucky."""
        by_kind = self.own.get(output, {})
        return max((by_kind[name] for name in (kind, *_BASE_KINDS) if name in by_kind), default=0.0)

    def allowed(self, output: str, kind: str, dtype: np.dtype[Any]) -> float:
        """The error that an artifact may show, by the size of the channel."""
        floor = FLOOR_ULPS * float(np.finfo(dtype).eps)
        return max(min(FACTOR * self.own_error(output, kind), MOST), floor)


def _sizes(cases: list[Case], one_size: tuple[str, ...]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The largest finite magnitude of every channel, by output and kind; on edges and few rows, at least the usual."""
    largest: dict[str, dict[str, NDArray[np.float64]]] = {}
    rows: dict[str, dict[str, int]] = {}
    for case in cases:
        for name, array in case.reference.items():
            found, counted = largest.setdefault(name, {}), rows.setdefault(name, {})
            size = _channels(array if name not in one_size else array.ravel())
            before = found.get(case.kind)
            found[case.kind] = size if before is None or before.shape != size.shape else np.maximum(before, size)
            if before is not None and before.shape != size.shape:  # the last axis is open
                found[case.kind] = np.maximum(before.max(initial=0.0), size.max(initial=0.0))
            counted[case.kind] = counted.get(case.kind, 0) + (array.shape[0] if array.ndim else 1)
    for name, by_kind in largest.items():
        usual = [by_kind[kind] for kind in _BASE_KINDS if kind in by_kind]
        for kind, size in by_kind.items():
            if kind not in _BASE_KINDS or rows[name][kind] < _ENOUGH_ROWS:
                size = _joined([size, *usual])  # noqa: PLW2901 (the same size, seen on more rows)
            by_kind[kind] = np.maximum(size, _LEAST_SHARE * size.max(initial=0.0))
            by_kind[kind] = np.where(by_kind[kind] > 0, by_kind[kind], 1.0)
    return largest


def _joined(sizes: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    shapes = {size.shape for size in sizes}
    if len(shapes) > 1:
        return np.asarray(max(float(size.max(initial=0.0)) for size in sizes))
    return np.asarray(np.max(np.stack(sizes), axis=0))


def _channels(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """The largest finite magnitude of every channel, shape (channels,), or () of an output without such an axis."""
    magnitude = np.abs(array.astype(np.float64))
    magnitude[~np.isfinite(magnitude)] = 0.0
    axes = tuple(range(array.ndim - 1)) if array.ndim > 1 else None
    return np.asarray(magnitude.max(axis=axes, initial=0.0))


def _own(cases: list[Case], sizes: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[str, dict[str, float]]:
    measure = Yardstick(sizes, {})
    own: dict[str, dict[str, float]] = {}
    for case in cases:
        for name, exact in case.reference.items():
            by_kind = own.setdefault(name, {})
            error = measure.error(name, case.kind, case.outputs[name], exact)
            by_kind[case.kind] = max(by_kind.get(case.kind, 0.0), error)
    return own
