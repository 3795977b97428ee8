"""The change itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def scaled(values: NDArray[Any], factor: float) -> NDArray[Any] | None:
    """The values times `factor`, in their own dtype and shape; None where that is no change, as of zeros."""
    changed = (values * values.dtype.type(factor)).astype(values.dtype)
    return None if np.array_equal(changed, values, equal_nan=True) else changed
