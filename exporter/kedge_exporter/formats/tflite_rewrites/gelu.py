"""Recognises the exact gelu, which TFLite has an op for: its error function must stay for the converter to see it."""

import math
from typing import Any

import tensorflow as tf

_CLOSE = 1e-6


def is_not_in_gelu(operation: Any) -> bool:  # noqa: ANN401 (TensorFlow ships no types)
    """Whether an `Erf` or `Erfc` is no part of `x / 2 * erfc(-x / sqrt(2))` or `x / 2 * (1 + erf(x / sqrt(2)))`."""
    scaled, factor = _product(operation.inputs[0].op)
    if factor is None or not math.isclose(abs(factor), math.sqrt(0.5), rel_tol=_CLOSE):
        return True
    value = scaled.op.inputs[0] if scaled.op.type == "Neg" else scaled
    answer = operation.outputs[0]
    if operation.type == "Erf":
        added = _only_reader(answer)
        if added is None or added.type not in {"Add", "AddV2"} or 1.0 not in map(_number, added.inputs):
            return True
        answer = added.outputs[0]
    product = _only_reader(answer)
    if product is None or product.type != "Mul":
        return True
    others = [tensor for tensor in product.inputs if tensor is not answer]
    halved, half = _product(others[0].op) if others else (None, None)
    # The converter merges equal ops before it looks for gelu, and sees none whose half is read elsewhere, too.
    return halved is not value or half != 0.5 or _halves(value) > 1  # noqa: PLR2004 (gelu's own half)


def _halves(value: Any) -> int:  # noqa: ANN401
    """How often a tensor is halved; an approximate gelu of the same tensor halves it as well."""
    products = [_product(reader) for reader in value.consumers()]
    return sum(number == 0.5 for factor, number in products if factor is value)  # noqa: PLR2004


def _product(operation: Any) -> tuple[Any, float | None]:  # noqa: ANN401
    """What is multiplied, and by which number; a quotient by a number is a product as well."""
    if operation.type not in {"Mul", "RealDiv"}:
        return None, None
    left, right = operation.inputs
    number = _number(right)
    if number is not None:
        return left, number if operation.type == "Mul" else 1.0 / number
    return right, _number(left) if operation.type == "Mul" else None


def _number(tensor: Any) -> float | None:  # noqa: ANN401
    value = tf.get_static_value(tensor)
    return float(value) if value is not None and value.size == 1 else None


def _only_reader(tensor: Any) -> Any | None:  # noqa: ANN401
    readers = tensor.consumers()
    return readers[0] if len(readers) == 1 else None
