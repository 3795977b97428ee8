"""Colour spaces."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import Case

COLOURS = np.stack(np.meshgrid(*[np.array([0.0, 0.2, 0.5, 1.0])] * 3), -1).astype(np.float32)

CASES = {
    "to hue, saturation and value": Case(lambda tf, x: tf.image.rgb_to_hsv(x), (COLOURS,)),
    "and back": Case(lambda tf, x: tf.image.hsv_to_rgb(x), (COLOURS,)),
    "before opset 18": Case(lambda tf, x: tf.image.hsv_to_rgb(x), (COLOURS,), opset=17),
}


@pytest.mark.parametrize("name", CASES)
def test_colours_are_tensorflows(check: Callable[[str], None], name: str) -> None:
    check(name)
