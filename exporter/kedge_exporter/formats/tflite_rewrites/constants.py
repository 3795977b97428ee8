"""The value of a tensor that does not depend on the inputs of the model, where TensorFlow does not fold it itself."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.tensor_util import constant_value_as_shape

_FOLDED = {"Cast", "RealDiv", "Mul", "Sub", "AddV2", "Identity", "Reshape"}
"""Arithmetic on sizes: the scale of a resized image is its new size divided by the old one."""


def constant(tensor: Any) -> NDArray[Any] | None:  # noqa: ANN401 (TensorFlow ships no types)
    """The value; None where it depends on an input."""
    if tensor.dtype == tf.resource:
        return None
    known: NDArray[Any] | None = tf.get_static_value(tensor)
    operation = tensor.op
    if known is not None:
        return known
    if operation.type == "StridedSlice" and tensor.dtype.is_integer and tensor.shape.rank == 1:
        part = constant_value_as_shape(tensor)  # some sizes of a shape, of which others may be unknown
        return np.array(part.as_list()) if part.is_fully_defined() else None
    if operation.type not in _FOLDED:
        return None
    inputs = [constant(given) for given in operation.inputs]
    if any(value is None for value in inputs):
        return None
    with tf.init_scope():
        names = [argument.name for argument in operation.op_def.input_arg]
        given = {
            name: tf.constant(value, source.dtype)
            for name, value, source in zip(names, inputs, operation.inputs, strict=True)
        }
        if operation.type == "Cast":
            given["DstT"] = operation.get_attr("DstT")
        folded: NDArray[Any] = getattr(tf.raw_ops, operation.type)(**given).numpy()
    return folded
