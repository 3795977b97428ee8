"""The user's own samples, `--data`, under the model's names and dtypes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.errors import SamplesInvalid
from kedge_bundle.signature import Signature, Tensors, TensorSpec, describe_dtype, describe_shape

_NUMBERS = "biuf"
"""Numpy's kinds of dtype that are cast into one another."""


def fitted_data(data: Tensors, signature: Signature, source: str) -> tuple[Tensors, tuple[str, ...]]:
    """The user's samples under the model's names and dtypes, and notes for the user.

    Args:
        data: arrays by name; one array of any name will do for a model of one input.
        signature: what the model takes.
        source: what to call the samples in messages.

    Raises:
        SamplesInvalid: an input is missing, or an array does not fit.
    """
    names = signature.input_names
    if len(names) == 1 and len(data) == 1:
        data = {names[0]: next(iter(data.values()))}
    missing = [name for name in names if name not in data]
    if missing:
        raise SamplesInvalid(f"{source}: expected the arrays {list(names)}, got {sorted(data)}")
    fitted = {spec.name: _cast(data[spec.name], spec, source) for spec in signature.inputs}
    found = [v.description for v in signature.input_violations(fitted)]
    # A fixed batch is the runtime's matter, not the samples'.
    if signature.fixed_batch is not None:
        found = [v for spec in signature.inputs for v in _row_shape_violations(spec, fitted[spec.name])]
    if found:
        raise SamplesInvalid(f"{source}: {'; '.join(dict.fromkeys(found))}")
    unused = sorted(set(data) - set(names))
    return fitted, (f"{source}: the arrays {unused} are no inputs of the model and were not used",) if unused else ()


def _row_shape_violations(spec: TensorSpec, array: NDArray[Any]) -> list[str]:
    open_batch = spec.model_copy(update={"shape": (None, *spec.shape[1:])})
    return [violation.description for violation in open_batch.violations(array)]


def _cast(array: NDArray[Any], spec: TensorSpec, source: str) -> NDArray[Any]:
    """The array in the input's dtype, where no value changes but by rounding."""
    dtype = spec.numpy_dtype
    if array.dtype == dtype:
        return array
    wanted = f"{source}: input '{spec.name}' is {spec.dtype} of shape {describe_shape(spec.shape, 'batch')}"
    if array.dtype.kind not in _NUMBERS or dtype.kind not in _NUMBERS:
        raise SamplesInvalid(f"{wanted}; the array is {describe_dtype(array)}")
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype)
    if not _keeps_values(array, cast):
        raise SamplesInvalid(f"{wanted}; values of the array, {describe_dtype(array)}, would change")
    return cast


def _keeps_values(array: NDArray[Any], cast: NDArray[Any]) -> bool:
    """Whether a cast did no more than round; a wrapped integer can come back equal, with another sign on the way."""
    if cast.dtype.kind == "f":
        return np.array_equal(np.isfinite(array), np.isfinite(cast))
    return np.array_equal(cast.astype(array.dtype), array) and np.array_equal(cast < 0, array < 0)
