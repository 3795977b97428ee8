"""How far two answers of a layer are apart, channel by channel, and how far they may be. Arithmetic only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KERAS_TIMES = 8.0
"""How many times Keras' own rounding error an artifact's may be: sums in another order err by other amounts."""

_FLOOR_OF_SIZE = 2.0**-23
"""Of the largest channel: channels that are as good as dead are measured by it."""

_ROUNDINGS = {"bfloat16": 16.0, "float16": 16.0, "float32": 256.0, "float64": 256.0}
"""How many roundings of a channel's largest value are always allowed.

A sum of n terms in their order errs by some sqrt(n) roundings (Higham and Mary, 2019), and XNNPACK sums in order where
Eigen sums in blocks. Right files of 130 small models showed up to 26, those of deep networks up to 106, in sums of 4608
terms; 256 are those of 65,536 terms. Kernels for halves sum in float32.
"""

_RMS_TIMES = 32.0
"""How many times the root mean square of Keras' errors: XNNPACK's was up to 31 times as large in the same layer."""

_ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}

_RELATIVE = {"bfloat16": 8e-2, "float16": 1e-2, "float32": 3e-5, "float64": 1e-10}
"""Where Keras itself is the reference: the budgets of whole models (`kedge_bundle.parity.Budget`)."""

_OF_NUMBERS = "float32"
"""As what integers and truth values are judged: they are the same, or far apart."""


def coarsest(*dtypes: str) -> str:
    """The dtype that rounds most; the first where none is one of floats."""
    return max(dtypes, key=lambda dtype: _ROUNDING.get(dtype, 0.0))


@dataclass(frozen=True)
class Errors:
    """The differences of one answer from the reference.

    Attributes:
        absolute: the largest in each channel, (channels,), in units of the answer; infinite where one is finite and the
            other is not.
        size: the largest finite magnitude of the reference in each channel, but not less than 2**-23 of the largest in
            all channels, (channels,).
        rms: the root of the mean square of all finite differences.
        whole: the largest finite magnitude of the reference.
    """

    absolute: NDArray[np.float64]
    size: NDArray[np.float64]
    rms: float
    whole: float

    @property
    def largest(self) -> float:
        """The largest difference in units of its channel's size."""
        return float((self.absolute / self.size).max(initial=0.0))

    @property
    def typical(self) -> float:
        """The root of the mean square difference, as a share of the largest magnitude; infinite where any is."""
        return self.rms / self.whole if self.whole and np.isfinite(self.absolute).all() else float(self.absolute.max())


def errors_of(actual: NDArray[np.generic], reference: NDArray[np.generic]) -> Errors:
    """Compare an answer of numbers with the reference, (rows, ..., channels); both of the same shape."""
    expected, given = _by_channel(reference), _by_channel(actual)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(given - expected)
    absolute = difference.max(axis=0, initial=0.0)
    if not np.isfinite(absolute).all():
        finite = np.isfinite(expected)
        same = (given == expected) | (np.isnan(given) & np.isnan(expected))
        difference = np.where(same, 0.0, np.where(finite & np.isfinite(given), difference, np.inf))
        absolute = difference.max(axis=0, initial=0.0)
        expected, difference = np.where(finite, expected, 0.0), difference[np.isfinite(difference)]
    size = np.abs(expected).max(axis=0, initial=0.0)
    whole = float(size.max(initial=0.0))
    return Errors(
        absolute=absolute,
        size=np.maximum(size, whole * _FLOOR_OF_SIZE if whole else 1.0),
        rms=float(np.sqrt(np.mean(np.square(difference)))) if difference.size else 0.0,
        whole=whole,
    )


@dataclass(frozen=True)
class Judgement:
    """One layer's error, Keras' own and what is allowed, in units of the size of the channel that is worst off."""

    error: float
    keras_error: float | None
    allowed: float


def judge(errors: Errors, keras: Errors | None, precision: str) -> Judgement:
    """Hold a layer to its budget, channel by channel.

    Args:
        errors: those of the artifact.
        keras: those of Keras, computing in the same precision; None where it tells nothing of rounding.
        precision: the dtype that rounds.
    """
    allowed = _tolerated(errors, precision) if keras is None else _rounded(errors, keras, precision)
    with np.errstate(invalid="ignore"):
        ratio = np.nan_to_num(errors.absolute / allowed, nan=0.0, posinf=np.inf)  # where Keras overflows, all may
    worst = int(np.argmax(ratio))
    unit = errors.size[worst]
    return Judgement(
        error=float(errors.absolute[worst] / unit),
        keras_error=None if keras is None else float(keras.absolute[worst] / unit),
        allowed=float(allowed[worst] / unit),
    )


def _rounded(errors: Errors, keras: Errors, precision: str) -> NDArray[np.float64]:
    """What rounding explains in each channel.

    A channel of few values may be exact in Keras by luck, and one of small values is made of sums of large ones: all
    channels together tell how large rounding is here.
    """
    kind = precision if precision in _ROUNDING else _OF_NUMBERS
    floor = _ROUNDINGS[kind] * _ROUNDING[kind] * errors.size
    return np.maximum(np.maximum(floor, KERAS_TIMES * keras.absolute), _RMS_TIMES * keras.rms)


def _tolerated(errors: Errors, precision: str) -> NDArray[np.float64]:
    """What is allowed without knowing Keras' rounding: small channels come of sums that are rounded as large ones."""
    share = _RELATIVE.get(precision, _RELATIVE[_OF_NUMBERS])
    return share * errors.size + share / 30 * errors.whole


def _by_channel(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """(values, channels): the last axis stays; numbers and rows of numbers are one channel."""
    values = array.astype(np.float64)
    return values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(-1, 1)
