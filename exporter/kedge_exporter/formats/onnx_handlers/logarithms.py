"""Logarithms and exponentials close to zero, and products with them that are zero where a factor is.

Kahan's forms, as in N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 1.14.1: what rounding took from
`1 + x` is known exactly, and divides out.
"""

import numpy as np

from kedge_exporter.formats.onnx_handlers.rewriting import Rewriting


def log1p(new: Rewriting) -> str:
    """`Log1p(x) = log(1 + x)`."""
    return _log1p(new, new.inputs[0])


def expm1(new: Rewriting) -> str:
    """`Expm1(x) = exp(x) - 1`."""
    (x,) = new.inputs
    one = new.like(1, x)
    power = new.add("Exp", x)
    less = new.add("Sub", power, one)
    exact = new.add("Div", new.add("Mul", less, x), new.add("Log", power))
    is_plain = new.add("Or", new.add("Equal", less, new.like(-1, x)), new.add("IsInf", less))
    return new.add("Where", new.add("Equal", power, one), x, new.add("Where", is_plain, less, exact))


def xlogy(new: Rewriting) -> str:
    """`Xlogy(x, y) = x log(y)`, and 0 where x is 0."""
    x, y = new.inputs
    return _unless_zero(new, x, new.add("Mul", x, new.add("Log", y)))


def xlog1py(new: Rewriting) -> str:
    """`Xlog1py(x, y) = x log(1 + y)`, and 0 where x is 0."""
    x, y = new.inputs
    return _unless_zero(new, x, new.add("Mul", x, _log1p(new, y)))


def xdivy(new: Rewriting) -> str:
    """`Xdivy(x, y) = x / y`, and 0 where x is 0."""
    x, y = new.inputs
    return _unless_zero(new, x, new.add("Div", x, y))


def _log1p(new: Rewriting, x: str) -> str:
    one = new.like(1, x)
    more = new.add("Add", x, one)
    exact = new.add("Div", new.add("Mul", new.add("Log", more), x), new.add("Sub", more, one))
    is_plain = new.add("Or", new.add("Equal", more, one), new.add("Equal", more, new.like(np.inf, x)))
    return new.add("Where", is_plain, x, exact)


def _unless_zero(new: Rewriting, x: str, product: str) -> str:
    zero = new.like(0, x)
    return new.add("Where", new.add("Equal", x, zero), zero, product)
