"""Resizing with the filters that ONNX lacks."""

from collections.abc import Callable

import pytest

from tests.exporter.formats.onnx_handlers.case import Case, integers, normal

IMAGE = normal(2, 6, 7, 3)

CASES = {
    **{
        f"{method}, {size}{', antialiased' if smooth else ''}": Case(
            lambda tf, x, method=method, size=size, smooth=smooth: tf.image.resize(x, size, method, antialias=smooth),
            (IMAGE,),
        )
        for method, size, smooth in (
            ("bicubic", (12, 9), False),
            ("bicubic", (3, 4), False),
            ("area", (3, 5), False),
            ("area", (9, 8), False),
            ("bilinear", (3, 4), True),
            ("lanczos3", (4, 9), True),
            ("lanczos5", (9, 3), False),
            ("mitchellcubic", (4, 4), True),
        )
    },
    "aligned corners": Case(
        lambda tf, x: tf.raw_ops.ResizeBicubic(images=x, size=[9, 5], align_corners=True), (IMAGE,)
    ),
    "bytes, bicubic": Case(
        lambda tf, x: tf.image.resize(x, (3, 4), "bicubic"),
        (integers(0, 256, 2, 6, 7, 3, dtype="uint8"),),
        tolerance=1e-4,
    ),
    "bytes, bilinear": Case(
        lambda tf, x: tf.image.resize(x, (9, 4)), (integers(0, 256, 2, 6, 7, 3, dtype="uint8"),), tolerance=1e-4
    ),
    **{
        f"{dtype}, bilinear": Case(lambda tf, x: tf.image.resize(x, (9, 4)) + 1.0, (IMAGE.astype(dtype),))
        for dtype in ("float16", "float64")
    },
    "unknown sizes": Case(
        lambda tf, x: tf.image.resize(x, (3, 4), "bicubic"),
        (IMAGE,),
        ((None, None, None, 3),),
        refused=("ResizeBicubic", "known height and width"),
    ),
    "unknown sizes, antialiased": Case(
        lambda tf, x: tf.image.resize(x, (3, 4), antialias=True),
        (IMAGE,),
        ((None, None, None, 3),),
        refused=("ScaleAndTranslate", "known height and width"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_images_are_resized_as_tensorflow_does(check: Callable[[str], None], name: str) -> None:
    check(name)
