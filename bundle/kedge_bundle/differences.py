"""How two arrays of floats differ, in every number that a report shows. Float64 arithmetic, over finite values."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Differences(BaseModel):
    """Errors are in units of the output unless they say otherwise.

    Attributes:
        max_abs_error: the largest.
        rms_error: their root mean square.
        p999_error: the 99.9th percentile.
        max_ulps: the largest, in units in the last place of the reference's value in the output's dtype.
        cosine: of the two arrays as vectors; None where one is all zero.
        top1_agreement: the share of rows whose largest value stands in the same place; rows too close to call do not
            count. None of an output without an axis to choose along, or where no row counts.
        top1_too_close: rows whose two largest values are no further apart than twice the error.
        nan_expected, nan_actual, inf_expected, inf_actual: how many.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    max_abs_error: float | None = None
    rms_error: float | None = None
    p999_error: float | None = None
    max_ulps: float | None = None
    cosine: float | None = None
    top1_agreement: float | None = None
    top1_too_close: int = 0
    nan_expected: int = 0
    nan_actual: int = 0
    inf_expected: int = 0
    inf_actual: int = 0

    @property
    def nonfinite_expected(self) -> int:
        """How many values of the reference are NaN or infinite."""
        return self.nan_expected + self.inf_expected

    @property
    def nonfinite_actual(self) -> int:
        """How many values of the answer are NaN or infinite."""
        return self.nan_actual + self.inf_actual


def counts(expected: NDArray[np.generic], actual: NDArray[np.generic]) -> dict[str, int]:
    """How many values are NaN or infinite on both sides."""
    sides = {"expected": expected, "actual": actual}
    return {f"nan_{side}": int(np.isnan(array).sum()) for side, array in sides.items()} | {
        f"inf_{side}": int(np.isinf(array).sum()) for side, array in sides.items()
    }


def differences(reference: NDArray[np.generic], actual: NDArray[np.generic]) -> dict[str, float | int | None]:
    """The fields of `Differences` but for the counts.

    Args:
        reference: what is right, shape (rows, ...), in any float dtype.
        actual: the same shape, in the output's own dtype.
    """
    exact, answer = reference.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(exact) & np.isfinite(answer)
    if not finite.any():
        return {}
    with np.errstate(over="ignore", invalid="ignore"):  # of float64 answers; an error can be one that does not fit
        error = np.abs(exact[finite] - answer[finite])
        spacing = np.spacing(np.abs(reference[finite]).astype(actual.dtype)).astype(np.float64)
        rms = float(np.sqrt(np.mean(error**2)))
        in_ulps = error / spacing  # NaN where the reference does not fit the dtype
    agreement, too_close = _top1(exact, answer, float(error.max()))
    return {
        "max_abs_error": float(error.max()),
        "rms_error": rms,
        # An error that does not fit has no neighbours to interpolate with.
        "p999_error": float(np.percentile(error, 99.9, method="inverted_cdf")),
        "max_ulps": float(np.max(in_ulps, where=np.isfinite(in_ulps), initial=0.0)),
        "cosine": _cosine(exact[finite], answer[finite]),
        "top1_agreement": agreement,
        "top1_too_close": too_close,
    }


def _cosine(exact: NDArray[np.float64], answer: NDArray[np.float64]) -> float | None:
    largest = max(float(np.abs(exact).max()), float(np.abs(answer).max()))
    if largest == 0 or not np.isfinite(largest):
        return None
    left, right = exact / largest, answer / largest  # squares of large values do not fit
    lengths = float(np.sqrt(left @ left) * np.sqrt(right @ right))
    return None if lengths == 0 else float(np.clip(left @ right / lengths, -1.0, 1.0))


def _top1(exact: NDArray[np.float64], answer: NDArray[np.float64], error: float) -> tuple[float | None, int]:
    """How often the largest value of a row is the same one, and how many rows are too close to call."""
    if exact.ndim < 2 or exact.shape[-1] < 2:  # noqa: PLR2004 (rows, and two values to choose from)
        return None, 0
    rows, others = exact.reshape(-1, exact.shape[-1]), answer.reshape(-1, exact.shape[-1])
    whole = np.isfinite(rows).all(axis=1) & np.isfinite(others).all(axis=1)
    rows, others = rows[whole], others[whole]
    if not len(rows):
        return None, 0
    best = np.partition(rows, -2, axis=1)[:, -2:]
    clear = best[:, 1] - best[:, 0] > 2 * error
    if not clear.any():
        return None, len(rows)
    agrees = rows[clear].argmax(axis=1) == others[clear].argmax(axis=1)
    return float(agrees.mean()), int((~clear).sum())
