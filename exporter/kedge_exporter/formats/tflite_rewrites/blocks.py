"""`SpaceToBatchND` and `BatchToSpaceND` of rank 5 and more (dilated Conv3D), which TFLite has up to rank 4 only."""

import math
from typing import Any

import tensorflow as tf

from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Tensor, sizes

_MOST_BUILTIN_RANK = 4


def is_too_deep(operation: Any) -> bool:  # noqa: ANN401 (TensorFlow ships no types)
    """Whether the rank is one that TFLite's own ops do not take."""
    rank = operation.inputs[0].shape.rank
    return rank is not None and rank > _MOST_BUILTIN_RANK


def space_to_batch(node: Node) -> Tensor:
    """Pad, then move every block into the batch, one axis after another, the last first."""
    tensor, _, paddings = node.inputs
    block = _block(node)
    rest = tensor.shape.rank - 1 - len(block)
    tensor = tf.pad(tensor, tf.concat([[[0, 0]], tf.cast(paddings, tf.int32), [[0, 0]] * rest], axis=0))
    for axis in range(len(block), 0, -1):
        tensor = _split_off(tensor, axis, block[axis - 1])
    return tensor


def batch_to_space(node: Node) -> Tensor:
    """The inverse: put every block back, the first axis first, then crop."""
    tensor, _, crops = node.inputs
    block = _block(node)
    for axis in range(1, len(block) + 1):
        tensor = _put_back(tensor, axis, block[axis - 1])
    before, after = tf.unstack(tf.cast(crops, tf.int32), axis=1)
    full = sizes(tensor)
    cropped = range(1, len(block) + 1)
    begin = [before[axis - 1] if axis in cropped else 0 for axis in range(len(full))]
    size = [
        full[axis] - before[axis - 1] - after[axis - 1] if axis in cropped else full[axis] for axis in range(len(full))
    ]
    return tf.slice(tensor, begin, size)


def _block(node: Node) -> list[int]:
    if node.constants[1] is None:
        raise CannotRewrite("its block size is computed by the model; give the layer a fixed dilation_rate")
    return [int(size) for size in node.constants[1]]


def _split_off(tensor: Tensor, axis: int, block: int) -> Tensor:
    """Every `block`-th slice along the axis becomes rows of the batch: (rows, ..., size) -> (block * rows, ...)."""
    rows, *others = sizes(tensor)
    before, size, after = _around(others, axis)
    grouped = tf.reshape(tensor, [rows, before * (size // block), block, after])
    moved = tf.transpose(grouped, [2, 0, 1, 3])
    others[axis - 1] = size // block
    return tf.reshape(moved, [rows * block, *others])


def _put_back(tensor: Tensor, axis: int, block: int) -> Tensor:
    rows, *others = sizes(tensor)
    before, size, after = _around(others, axis)
    grouped = tf.reshape(tensor, [block, rows // block, before * size, after])
    moved = tf.transpose(grouped, [1, 2, 0, 3])
    others[axis - 1] = size * block
    return tf.reshape(moved, [rows // block, *others])


def _around(others: list[Any], axis: int) -> tuple[Any, Any, Any]:
    """How many values stand before the axis, along it and after it; the batch is not among `others`."""
    return math.prod(others[: axis - 1]), others[axis - 1], math.prod(others[axis:])
