# ruff: noqa: ANN401 (TensorFlow ships no types)
"""What the rewrites are tried on: ordinary values, and those at the edges of each op. Imports TensorFlow."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

RNG = np.random.default_rng(7)
ROUNDINGS = 3e-6
"""A few dozen roundings of a float32, of the largest value."""


@dataclass(frozen=True)
class Case:
    """One function of tensors.

    Attributes:
        op: the TensorFlow op that it holds, which is rewritten.
        inputs: at least two rows each.
        shapes: of the inputs, None for open sizes; where not given, only the number of rows is open.
        tolerance: of the largest value.
    """

    op: str
    name: str
    function: Callable[..., Any]
    inputs: tuple[NDArray[Any], ...]
    shapes: tuple[tuple[int | None, ...], ...] = ()
    tolerance: float = ROUNDINGS


def floats(*values: float) -> NDArray[np.float32]:
    """Values in two rows."""
    row = np.array(values, np.float32)
    return np.stack([row, row[::-1]])


def normal(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(0, 2, shape).astype(np.float32)


def unary(op: str, function: Callable[..., Any], *values: float) -> Case:
    return Case(op, "values", function, (floats(*values),))


UNARY = [
    unary("Acos", tf.acos, -1, -0.999, -0.5, 0, 1e-7, 0.5, 1, 1.5, math.nan),
    unary("Acosh", tf.acosh, 1, 1.0001, 1.5, 3, 1e4, 1e10, 1e19, 1e38, math.inf, 0.5, -2, math.nan),
    unary("Asin", tf.asin, -1, -0.5, 0, 1e-7, 0.5, 1, 1.5, -7, math.nan),
    unary("Asinh", tf.asinh, 0, 1e-6, -1e-6, 1, -3, 1e4, -1e19, 1e38, math.inf, -math.inf, math.nan),
    unary("Atan", tf.atan, 0, -1e-7, 1, -3, 1e4, -1e19, math.inf, -math.inf, math.nan),
    unary("Atanh", tf.atanh, 0, 1e-6, -0.5, 0.999, 1, -1, 1.5, -2, math.nan),
    Case("Cos", "many turns", tf.cos, (floats(0, 1, -3, 100, 1000.5, -5000, 10000),), (), 1e-5),
    Case("Sin", "many turns", tf.sin, (floats(0, 1, -3, 100, 1000.5, -5000, 10000),), (), 1e-5),
    Case("Tan", "values", tf.tan, (floats(0, 1, -1.5, 0.1, 4, 30),), (), 2e-5),
    Case("Cosh", "values", tf.cosh, (floats(0, 1e-3, 1, -3, 20, -30),), (), 1e-5),
    Case("Cosh", "overflow", tf.cosh, (floats(88.9, -89.2, 200, math.inf, -math.inf),), (), 1e-4),
    Case("Sinh", "values", tf.sinh, (floats(0, 1e-6, -1e-3, 0.4, 0.6, -3),), (), 1e-5),
    Case("Sinh", "small", tf.sinh, (floats(0, 1e-6, -1e-5, 3e-5),), (), 1e-6),
    Case("Sinh", "overflow", tf.sinh, (floats(88.9, -89.2, 200, -math.inf, math.inf),), (), 1e-4),
    unary("Erf", tf.math.erf, 0, 1e-6, -0.3, 1, -2, 3.9, -4.5, 40, math.inf, -math.inf),
    Case("Erf", "small", tf.math.erf, (floats(0, 1e-6, -1e-5, 3e-5),), (), 1e-5),
    unary("Erfc", tf.math.erfc, 0, 1e-6, -0.3, 1, -2, 3.9, -4.5, 40, math.inf, -math.inf),
    unary("Erfinv", tf.math.erfinv, 0, 1e-6, -0.3, 0.9, -0.999, 0.9999999, 1, -1, 2, -3),
    Case("Softplus", "large", tf.nn.softplus, (floats(0, 1, -5, 20, -20, 88, 90, -90, 1e4, -1e4),)),
    Case("Softplus", "small", tf.nn.softplus, (floats(-1, -2, -3),)),
    Case("Rsqrt", "zero", tf.math.rsqrt, (floats(0, 1e-12, 1, 4, 1e10, math.inf),)),
    Case("Rsqrt", "l2 norm", lambda x: x * tf.math.rsqrt(tf.maximum(tf.reduce_sum(x * x, -1, keepdims=True), 1e-12)),
         (np.concatenate([normal(2, 5), np.zeros((1, 5), np.float32)]),)),
    Case("Rsqrt", "l2_normalize", lambda x: tf.nn.l2_normalize(x, 1),
         (np.concatenate([np.zeros((1, 5), np.float32), normal(2, 5)]),)),
]  # fmt: skip

COUNTS = [
    Case("DenseBincount", "count", lambda x: tf.math.bincount(x, minlength=7, maxlength=7, axis=-1),
         (np.array([[0, 1, 1, 6], [3, 3, 3, 9], [5, 2, 7, 0]], np.int32),)),
    Case("DenseBincount", "present", lambda x: tf.math.bincount(x, minlength=7, maxlength=7, axis=-1, dtype=tf.float32,
         binary_output=True), (np.array([[0, 1, 1, 6], [3, 3, 3, 9]], np.int64),)),
    Case("DenseBincount", "weighted", lambda x, w: tf.math.bincount(x, w, minlength=5, maxlength=5, axis=-1),
         (np.array([[0, 1, 1, 4], [3, 3, 3, 9]], np.int32), normal(2, 4))),
    Case("DenseBincount", "open length", lambda x: tf.math.bincount(x, minlength=7, maxlength=7, axis=-1),
         (np.array([[0, 1, 1, 6], [3, 3, 3, 9]], np.int32),), ((None, None),)),
    Case("DenseBincount", "no indices", lambda x: tf.math.bincount(x[:, :0], minlength=3, maxlength=3, axis=-1,
         binary_output=True, dtype=tf.float32), (np.array([[0, 1], [2, 1]], np.int32),)),
]  # fmt: skip


def pools() -> list[Case]:
    made = []
    volume = (normal(2, 5, 6, 7, 3),)
    for op, pool in (("MaxPool3D", tf.nn.max_pool3d), ("AvgPool3D", tf.nn.avg_pool3d)):
        for padding in ("SAME", "VALID"):
            for window, strides in (((2, 2, 2), (1, 1, 1)), ((3, 2, 4), (2, 3, 2))):

                def run(x: Any, pool: Any = pool, w: Any = window, s: Any = strides, p: str = padding) -> Any:
                    return pool(x, w, s, p)

                made.append(Case(op, f"{padding} {window} {strides}", run, volume))
        open_sizes = ((None, None, None, None, 3),)
        made.append(Case(op, "open sizes", lambda x, pool=pool: pool(x, 2, 2, "SAME"), volume, open_sizes))
    return made


KERNEL = normal(2, 3, 2, 3, 4)
GROUPED_KERNEL = normal(2, 2, 2, 2, 9)


@tf.function(jit_compile=True)
def grouped(x: Any) -> Any:
    """TensorFlow itself runs volumes in groups only compiled; so Keras does."""
    return tf.nn.conv3d(x, GROUPED_KERNEL, (1, 1, 2, 1, 1), "SAME")


VOLUMES = [
    Case("Conv3D", "in groups", grouped, (normal(2, 4, 5, 3, 6),)),
    *(
        Case(op, f"dilated {padding}", lambda x, p=padding: tf.nn.convolution(x, KERNEL, 1, p, dilations=(1, 2, 2)),
             (normal(2, 6, 7, 8, 3),))
        for op in ("SpaceToBatchND", "BatchToSpaceND") for padding in ("SAME", "VALID")
    ),
    Case("SpaceToBatchND", "all axes", lambda x: tf.space_to_batch(x, (2, 3, 2), ((0, 0), (1, 2), (0, 0))),
         (normal(2, 4, 3, 6, 5),)),
    Case("BatchToSpaceND", "all axes", lambda x: tf.batch_to_space(tf.concat([x] * 12, 0), (2, 3, 2),
         ((0, 1), (1, 1), (2, 0))), (normal(2, 4, 3, 6, 5),)),
    Case("BiasAdd", "channels first of a volume", lambda x: tf.nn.bias_add(x, [1.0, 2.0, 3.0], "NCDHW"),
         (normal(2, 3, 4, 5, 2),)),
    Case("BiasAdd", "channels first of a sequence", lambda x: tf.nn.bias_add(x, [1.0, 2.0, 3.0], "NCW"),
         (normal(2, 3, 4),)),
]  # fmt: skip

IMAGE = (normal(2, 7, 9, 3),)


def resized(size: tuple[int, int], method: str, *, antialias: bool) -> Callable[..., Any]:
    return lambda x: tf.image.resize(x, size, method, antialias=antialias)


IMAGES = [
    *(Case("ResizeBicubic", f"to {size}", resized(size, "bicubic", antialias=False), IMAGE)
      for size in ((14, 18), (3, 4), (7, 20))),
    Case("ResizeBicubic", "of bytes", resized((5, 5), "bicubic", antialias=False),
         (RNG.integers(0, 255, (2, 7, 9, 3)).astype(np.uint8),)),
    Case("ResizeBilinear", "of bytes", resized((5, 5), "bilinear", antialias=False),
         (RNG.integers(0, 255, (2, 7, 9, 3)).astype(np.uint8),)),
    Case("ResizeBilinear", "of bytes, any size", resized((5, 5), "bilinear", antialias=False),
         (RNG.integers(0, 255, (2, 7, 9, 3)).astype(np.uint8),), ((None, None, None, 3),)),
    *(Case("ScaleAndTranslate", f"{method} to {size}", resized(size, method, antialias=True), IMAGE)
      for method in ("bilinear", "bicubic", "lanczos3", "gaussian") for size in ((14, 18), (3, 4))),
]  # fmt: skip


def cumprods() -> list[Case]:
    return [
        Case("Cumprod", f"axis {axis} exclusive {exclusive} reverse {reverse}",
             lambda x, a=axis, e=exclusive, r=reverse: tf.math.cumprod(x, a, e, r), (normal(2, 5, 7),))
        for axis in (1, -1) for exclusive in (False, True) for reverse in (False, True)
    ] + [
        Case("Cumprod", "of one", lambda x: tf.math.cumprod(x, 1), (normal(2, 1),)),
        Case("Cumprod", "of integers", lambda x: tf.math.cumprod(x, 1), (np.array([[1, 2, 3], [4, 0, -6]], np.int32),)),
    ]  # fmt: skip


BITS = np.array([[0, -1, 5, 2**31 - 1, -(2**31), 123456789], [7, -2, 3, 2**30, -5, -987654321]], np.int32)
OTHER_BITS = np.array([[0, -1, 3, -(2**31), -(2**31), 987], [-7, 2**31 - 1, 5, 2**30, 2**29, -7]], np.int32)
INTEGERS = [
    Case("BitwiseAnd", "int32", tf.bitwise.bitwise_and, (BITS, OTHER_BITS)),
    Case("BitwiseAnd", "sign bit", lambda x: tf.bitwise.bitwise_and(x, -(2**31)), (BITS,)),
    Case("BitwiseOr", "int32", tf.bitwise.bitwise_or, (BITS, OTHER_BITS)),
    Case("Invert", "int32", tf.bitwise.invert, (BITS,)),
    Case("Invert", "int64", tf.bitwise.invert, (BITS.astype(np.int64) * 2**20,)),
    Case("LeftShift", "int32", tf.bitwise.left_shift, (BITS, np.array([[0, 1, 30, 31, 3, 7]] * 2, np.int32))),
    Case("Abs", "int64", tf.abs, (BITS.astype(np.int64) * 2**20,)),
    Case("Sign", "int64", tf.sign, (BITS.astype(np.int64) * 2**20,)),
    Case("FloorDiv", "by zero", lambda x, y: x // y, (floats(1, -1, 0, 7, -7, 2.5), floats(0, 0, 0, 2, 2, -0.5))),
]

LOOPS = [
    *(Case("Einsum", equation, lambda x, y, e=equation: tf.einsum(e, x, y), (normal(2, 4, 5), normal(2, 4, 5)))
      for equation in ("bij,bij->b", "bij,bij->jb", "bij,bij->bij")),
    Case("Einsum", "turned", lambda x, y: tf.einsum("bij,jbi->bj", x, tf.transpose(y, (2, 0, 1))),
         (normal(2, 4, 5), normal(2, 4, 5))),
    Case("Erf", "in a loop", lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.math.erf(y + 0.5)),
         (0, x))[1], (normal(2, 4),), ((2, 4),)),
    Case("MaxPool3D", "in a function", tf.function(lambda x: tf.nn.max_pool3d(x, 2, 2, "VALID")),
         (normal(2, 4, 4, 4, 2),)),
]  # fmt: skip

CASES = [*UNARY, *COUNTS, *pools(), *VOLUMES, *IMAGES, *cumprods(), *INTEGERS, *LOOPS]


def scoped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside of the layer `scope`."""

    def run(*tensors: Any) -> Any:
        with tf.name_scope("scope"):
            return function(*tensors)

    return run


REFUSED = [
    Case("Cumprod", "open axis", scoped(lambda x: tf.math.cumprod(x, 1)), (normal(2, 5),), ((None, None),)),
    Case("ResizeBicubic", "open sizes", scoped(resized((5, 5), "bicubic", antialias=False)), IMAGE,
         ((None, None, None, 3),)),
    Case("ScaleAndTranslate", "open sizes", scoped(resized((5, 5), "lanczos3", antialias=True)), IMAGE,
         ((None, None, None, 3),)),
    Case("BitwiseAnd", "int64", scoped(lambda x: tf.bitwise.bitwise_and(x, 7)), (BITS.astype(np.int64),)),
    Case("Invert", "int16", scoped(tf.bitwise.invert), (BITS.astype(np.int16),)),
    Case("MaxPool3D", "channels first", scoped(lambda x: tf.nn.max_pool3d(x, 2, 2, "VALID", data_format="NCDHW")),
         (normal(2, 3, 4, 4, 4),)),
    Case("SpaceToBatchND", "computed block", scoped(lambda x, b: tf.raw_ops.SpaceToBatchND(
         input=x, block_shape=b[0], paddings=tf.zeros((3, 2), tf.int32))),
         (normal(2, 4, 4, 4, 2), np.array([[2, 2, 2]] * 2, np.int32))),
    Case("Svd", "linear algebra", scoped(lambda x: tf.linalg.svd(x, compute_uv=False)), (normal(2, 3, 3),)),
    Case("FFT", "complex transform", scoped(lambda x: tf.math.real(tf.signal.fft(tf.cast(x, tf.complex64)))),
         (normal(2, 8),)),
    Case("ArgMax", "int64", scoped(lambda x: tf.argmax(x, 1)), (BITS.astype(np.int64),)),
    Case("NextAfter", "no advice of its own", scoped(lambda x: tf.math.nextafter(x, 2 * x)), (normal(2, 3),)),
]  # fmt: skip
