"""Shapes that a message declares, checked before a byte is allocated for them."""

import math
from collections.abc import Iterable
from itertools import islice

_MAX_RANK = 32
_MAX_VALUES = 1 << 40
"""More values than any message can carry; below it no product of sizes and no numpy array can overflow."""

_SHOWN_SIZES = 8


class TensorInvalid(ValueError):
    """A tensor that cannot be read from its message; the sentence says what was expected and what came."""


def checked_shape(sizes: Iterable[int]) -> tuple[int, ...]:
    """The declared sizes as a shape that numpy can hold.

    Raises:
        TensorInvalid: a negative size, more axes or more values than any tensor here has.
    """
    shape = tuple(islice(sizes, _MAX_RANK + 1))
    if len(shape) > _MAX_RANK:
        raise TensorInvalid(f"expected at most {_MAX_RANK} axes, got {len(shape)} or more")
    if min(shape, default=0) < 0:
        raise TensorInvalid(
            f"expected the size of every axis, got the shape {shown(shape)}; only a model leaves one open"
        )
    # Zeros are passed over: numpy multiplies the other sizes of an empty array as well.
    if math.prod([size or 1 for size in shape]) > _MAX_VALUES:
        raise TensorInvalid(f"the shape {shown(shape)} has more values than a message can carry")
    return shape


def shown(shape: tuple[int, ...]) -> str:
    """A caller's shape for a message, cut where it is absurdly long."""
    sizes = [str(size) for size in shape[:_SHOWN_SIZES]]
    return f"[{', '.join(sizes)}{', …' if len(shape) > _SHOWN_SIZES else ''}]"
