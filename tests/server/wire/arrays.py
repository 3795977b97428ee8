"""Arrays of every dtype that a signature knows, with the values that codecs get wrong."""

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.signature import DType

DTYPES: tuple[str, ...] = get_args(DType)

_STRINGS = [b"", b"a", b"\x00", b"trailing\x00", "grüße".encode(), b"\xff\xfe", b"x" * 70_000, b"end"]


def extremes(dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of this dtype and shape, filled with its extreme values over and over."""
    values: NDArray[Any]
    if dtype == "string":
        values = np.array(_STRINGS, object)
    elif dtype == "bool":
        values = np.array([True, False, False])
    elif dtype.startswith("float"):
        info = np.finfo(dtype)
        values = np.array([0.0, -0.0, info.max, info.min, info.smallest_subnormal, np.nan, np.inf, -np.inf, 1.5], dtype)
    else:
        limits = np.iinfo(dtype)
        values = np.array([limits.min, limits.max, 0, 1], dtype)
    return np.resize(values, shape)


def same(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Equal in dtype, shape and every bit."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    return left.tolist() == right.tolist() if left.dtype == object else left.tobytes() == right.tobytes()
