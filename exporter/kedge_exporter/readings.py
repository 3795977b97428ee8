"""What the layers that read an input tell of its values, as plain numbers. No Keras here."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["normalization", "batch-normalization", "rescaling", "indices", "vocabulary"]


@dataclass(frozen=True)
class Reading:
    """What one layer tells of one input.

    Attributes:
        is_direct: whether the layer reads the input itself, not a reshaped part of it.
        numbers: `mean` and `std` over `axes` of the input; `scale` and `offset`; or `count` of valid indices.
        axes: the axes of the input that `mean` and `std` are kept for; the batch axis is 0.
        words: entries of a vocabulary.
        takes_unknown: whether the layer answers for values that are not among `words`.
    """

    layer: str
    kind: Kind
    is_direct: bool
    numbers: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    axes: tuple[int, ...] = ()
    words: tuple[Any, ...] = ()
    takes_unknown: bool = True
