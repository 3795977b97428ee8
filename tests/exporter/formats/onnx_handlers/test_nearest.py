"""Resizing to the nearest pixel, and bilinear resizing to sizes that a scale misses."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from tests.exporter.formats.onnx_handlers.case import Case, integers, normal

KNOWN, OPEN, HALF_OPEN = (None, 8, 10, 2), (None, None, None, 2), (None, None, 10, 2)
SIZES = ((3, 7), (16, 30), (4, 5), (8, 10), (9, 1), (1, 11), (41, 47), (7, 61))
"""Among them ones that a scale misses, whole factors, and ones for which the order of the arithmetic tells."""


def resized(op: str, *, align_corners: bool, half_pixel_centers: bool) -> Callable[..., Any]:
    """The images in every size."""
    return lambda tf, x: tuple(
        getattr(tf.raw_ops, op)(images=x, size=size, align_corners=align_corners, half_pixel_centers=half_pixel_centers)
        for size in SIZES
    )


CASES = {
    **{
        f"{op}{', aligned' if align else ''}{', half pixels' if half else ''}, {shape[1]} x {shape[2]}": Case(
            resized(op, align_corners=align, half_pixel_centers=half), (normal(2, 8, 10, 2),), (shape,)
        )
        for op, (align, half), shape in product(
            ("ResizeNearestNeighbor", "ResizeBilinear"),
            ((False, False), (True, False), (False, True)),
            (KNOWN, OPEN, HALF_OPEN),
        )
    },
    "long axes": Case(
        lambda tf, x: tuple(tf.image.resize(x, (size, 1), "nearest") for size in range(25, 100, 7)),
        (normal(1, 93, 1, 1),),
        tolerance=0.0,
    ),
    "long axes of open size": Case(
        lambda tf, x: tuple(
            tf.raw_ops.ResizeNearestNeighbor(images=x, size=(size, 1), align_corners=True) for size in range(25, 100, 7)
        ),
        (normal(1, 93, 1, 1),),
        ((None, None, None, 1),),
        tolerance=0.0,
    ),
    "size of the run": Case(
        lambda tf, x: tf.image.resize(x, (tf.shape(x)[1] * 3 // 2, 7), "nearest"),
        (normal(2, 8, 10, 2),),
        (OPEN,),
        tolerance=0.0,
    ),
    **{
        f"of {dtype}": Case(
            lambda tf, x: (tf.image.resize(x, (16, 20), "nearest"), tf.image.resize(x, (3, 7), "nearest")),
            (integers(0, 100, 2, 8, 10, 2, dtype=dtype),),
        )
        for dtype in ("uint8", "int32", "int64", "float64")
    },
    "opset 13": Case(
        lambda tf, x: (tf.image.resize(x, (3, 7), "nearest"), tf.image.resize(x, (3, 7))),
        (normal(2, 8, 10, 2),),
        opset=13,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_pixels_are_those_that_tensorflow_picks(check: Callable[[str], None], name: str) -> None:
    check(name)
