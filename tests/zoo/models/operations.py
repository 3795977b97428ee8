"""`keras.ops` inside a Functional model, by subject; each output bears the name of its op."""

from typing import Any

from tests.zoo.lazy import keras, ops
from tests.zoo.registry import zoo

_FAMILY = "keras.ops"


@zoo(_FAMILY, fast=False)
def ops_arithmetic() -> Any:
    """Elementwise arithmetic, roots, powers and rounding."""
    x, y = keras.Input((6,), name="x"), keras.Input((6,), name="y")
    safe = ops.abs(y) + 0.5
    return keras.Model(
        [x, y],
        {
            "abs": ops.abs(x),
            "ceil": ops.ceil(x),
            "clip": ops.clip(x, -0.5, 0.7),
            "cos": ops.cos(x),
            "divide": x / safe,
            "exp": ops.exp(x),
            "floor": ops.floor(x),
            "floor_divide": ops.floor_divide(x, safe),
            "log": ops.log(safe),
            "log1p": ops.log1p(safe),
            "logaddexp": ops.logaddexp(x, y),
            "maximum": ops.maximum(x, y),
            "mod": ops.mod(x, safe),
            "negative": -x,
            "power": ops.power(safe, x),
            "reciprocal": ops.reciprocal(safe),
            "round": ops.round(x),
            "rsqrt": ops.rsqrt(safe),
            "sign": ops.sign(x),
            "sin": ops.sin(x),
            "sqrt": ops.sqrt(safe),
            "square": ops.square(x),
            "tanh": ops.tanh(x),
            "threshold": ops.threshold(x, 0.2, -1.0),
            "where": ops.where(x > y, x, y * 2),
        },
    )


@zoo(_FAMILY, fast=False)
def ops_logic() -> Any:
    """Comparisons, logic and casts."""
    x, y = keras.Input((6,), name="x"), keras.Input((6,), name="y")
    return keras.Model(
        [x, y],
        {
            "greater": ops.greater(x, y),
            "less_equal": ops.less_equal(x, y),
            "logical_and": ops.logical_and(x > 0, y > 0),
            "logical_not": ops.logical_not(x > 0),
            "logical_or": ops.logical_or(x > 0, y > 0),
            "any": ops.any(x > 1, axis=-1),
            "all": ops.all(x > -1, axis=-1),
            "cast": ops.cast(x * 4, "int32"),
        },
    )


@zoo(_FAMILY)
def ops_reductions() -> Any:
    """Sums, means, extremes, norms, and where they are."""
    x = keras.Input((4, 6), name="x")
    return keras.Model(
        x,
        {
            "argmax": ops.argmax(x, axis=-1),
            "argmin": ops.argmin(x, axis=1),
            "cumsum": ops.cumsum(x, axis=1),
            "logsumexp": ops.logsumexp(x, axis=-1),
            "max": ops.max(x, axis=-1),
            "mean": ops.mean(x, axis=(1, 2)),
            "min": ops.min(x, axis=1, keepdims=True),
            "norm": ops.norm(x, axis=-1),
            "prod": ops.prod(x, axis=-1),
            "std": ops.std(x, axis=-1),
            "sum": ops.sum(x, axis=1),
            "var": ops.var(x, axis=-1),
        },
    )


@zoo(_FAMILY, fast=False)
def ops_shapes() -> Any:
    """Cutting, joining, turning and gathering."""
    x = keras.Input((4, 6), name="x")
    first, second = ops.split(x, 2, axis=-1)
    return keras.Model(
        x,
        {
            "tile": ops.tile(x, (1, 2, 1)),
            "concatenate": ops.concatenate([x, x * 2], axis=1),
            "expand_dims": ops.expand_dims(x, 2),
            "flip": ops.flip(x, axis=1),
            "getitem": x[:, 1:3, ::2],
            "last": x[:, -1],
            "pad": ops.pad(x, ((0, 0), (1, 2), (0, 1))),
            "repeat": ops.repeat(x, 2, axis=1),
            "reshape": ops.reshape(x, (-1, 3, 8)),
            "roll": ops.roll(x, 1, axis=1),
            "split_first": first,
            "split_second": second,
            "stack": ops.stack([x, x + 1], axis=1),
            "swapaxes": ops.swapaxes(x, 1, 2),
            "take": ops.take(x, [2, 0], axis=1),
            "transpose": ops.transpose(x, (0, 2, 1)),
            "tril": ops.tril(x),
        },
    )


@zoo(_FAMILY, fast=False)
def ops_products() -> Any:
    """Matrix products and einsum."""
    x, y = keras.Input((4, 6), name="x"), keras.Input((6, 3), name="y")
    return keras.Model(
        [x, y],
        {
            "matmul": ops.matmul(x, y),
            "einsum": ops.einsum("bij,bjk->bki", x, y),
            "outer": ops.einsum("bi,bj->bij", x[:, 0], y[:, :, 0]),
        },
    )


@zoo(_FAMILY)
def ops_indices() -> Any:
    """Indices: one_hot, take_along_axis, top_k, sort, argsort, multi_hot."""
    x, indices = keras.Input((7,), name="x"), keras.Input((3,), dtype="int32", name="indices")
    place = ops.mod(indices, 7)
    values, places = ops.top_k(x, 3)
    return keras.Model(
        [x, indices],
        {
            "one_hot": ops.one_hot(place, 7),
            "multi_hot": ops.multi_hot(place, 7),
            "take_along_axis": ops.take_along_axis(x, place, axis=1),
            "top_k_values": values,
            "top_k_places": places,
            "sort": ops.sort(x, axis=-1),
        },
    )
