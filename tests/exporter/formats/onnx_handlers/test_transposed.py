"""Transposed convolutions: which part of the whole answer is kept, and what is added at its end."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.exporter.formats.onnx_handlers.case import Case, normal

LENGTHS = (5, 4, 3)


def transposed(kernel: tuple[int, ...], stride: int, padding: str, extra: int) -> Any:  # noqa: ANN401
    """A transposed convolution whose answers are as long as its strides times its input, and `extra` longer."""
    weights, bias = normal(*kernel, 3, 2), normal(3)

    def run(tf: Any, x: Any) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
        shape = tf.shape(x)
        lengths = [(x.shape[axis] or shape[axis]) * stride + extra for axis in range(1, len(kernel) + 1)]
        answer = tf.nn.conv_transpose(x, weights, [shape[0], *lengths, 3], stride, padding)
        return tf.nn.bias_add(answer, bias)

    return run


def explicit(tf: Any, x: Any) -> Any:  # noqa: ANN401
    sizes = [2, tf.shape(x)[1] * 2, tf.shape(x)[2] * 2 - 1, 4]
    return tf.nn.conv2d_transpose(x, normal(3, 3, 4, 2), sizes, 2, [[0, 0], [0, 1], [1, 1], [0, 0]])


CASES = {
    f"{space}D, kernel {kernel}, stride {stride}, {padding} {extra:+d}, {'open' if is_open else 'known'} sizes": Case(
        transposed((kernel,) * space, stride, padding, extra),
        (normal(2, *LENGTHS[:space], 2),),
        ((None, *([None] * space if is_open else LENGTHS[:space]), 2),),
    )
    for space, kernel, stride, padding, extra in (
        (2, 3, 2, "SAME", 0),
        (2, 3, 2, "SAME", -1),
        (2, 4, 2, "SAME", 0),
        (2, 5, 3, "SAME", -2),
        (2, 1, 3, "SAME", 0),
        (2, 2, 3, "SAME", 0),
        (2, 3, 2, "VALID", 1),
        (2, 3, 2, "VALID", 2),
        (2, 1, 3, "VALID", 0),
        (2, 5, 1, "VALID", 4),
        (1, 3, 2, "VALID", 2),
        (1, 4, 3, "SAME", -1),
        (3, 3, 2, "VALID", 2),
        (3, 2, 3, "SAME", 0),
    )
    for is_open in (False, True)
} | {
    "no bias": Case(
        lambda tf, x: tf.nn.conv2d_transpose(x, normal(3, 3, 4, 2), [2, 12, 10, 4], 2, "VALID"),
        (normal(2, 5, 4, 2),),
        ((2, 5, 4, 2),),
    ),
    "opset 13": Case(transposed((3, 3), 2, "VALID", 2), (normal(2, 5, 4, 2),), ((None, None, 4, 2),), opset=13),
    "explicit padding": Case(explicit, (normal(2, 5, 4, 2),), ((2, 5, 4, 2),)),
    "explicit padding, open sizes": Case(explicit, (normal(2, 5, 4, 2),), ((2, None, None, 2),)),
    "a kernel of open size": Case(
        lambda tf, x, kernel: tf.nn.conv2d_transpose(x, kernel, [2, 10, 8, 4], 2),
        (normal(2, 5, 4, 2), normal(3, 3, 4, 2)),
        ((2, 5, 4, 2), (None, None, 4, 2)),
        refused=("Conv2DBackpropInput", "kernel of known size"),
    ),
    "height and width alone": Case(
        lambda tf, x: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(x)[1:3] * 2,
            filter=normal(3, 3, 4, 2),
            out_backprop=x,
            strides=[1, 2, 2, 1],
            padding="SAME",
        ),
        (normal(2, 5, 4, 2),),
        ((None, None, None, 2),),
    ),
    "kernel of the run": Case(
        lambda tf, x, kernel: tf.nn.conv2d_transpose(x, kernel, [2, 10, 8, 4], 2),
        (normal(2, 5, 4, 2), normal(3, 3, 4, 2)),
        ((2, 5, 4, 2), (3, 3, 4, 2)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_as_large_as_tensorflow_says(check: Callable[[str], None], name: str) -> None:
    check(name)
