"""Resizing images to the nearest pixel: which one that is, TensorFlow and onnxruntime compute in another order.

TensorFlow multiplies by old size / new size, onnxruntime divides by new size / old size. Where that leads over the
edge of a pixel, the answer is another one altogether; and a size of 7 may come out as 6.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import Rewriting

_Indices = NDArray[np.int64]
_HALF = np.float32(0.5)
_RESIZED = (TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT8, TensorProto.UINT8)
"""What onnxruntime resizes on the CPU."""


def resize_nearest(new: Rewriting) -> str | None:
    """`ResizeNearestNeighbor(images, size)`, images (rows, height, width, channels).

    It is left to tf2onnx where onnxruntime finds the same pixels, without the half pixels, which ONNX has deprecated:
    they do not matter to whole factors. Elsewhere the pixels are picked by their indices.
    """
    images = new.inputs[0]
    shape = new.shape(images) or [-1] * 4
    size: list[int] = [-1, -1]
    if new.node.inputs[1].is_const():
        size = [int(length) for length in new.value(1, "the size")]
    lengths = list(zip(shape[1:3], size, strict=True))
    if new.dtype(images) in _RESIZED and all(_is_left(new, before, after) for before, after in lengths):
        new.node.set_attr("half_pixel_centers", 0)
        return None
    resized = images
    for axis, (before, after) in enumerate(lengths):
        if before >= 0 and after >= 0:
            picked = new.constant(_indices_of_tensorflow(new, before, after), "int64")
        else:
            picked = _indices_at_run(new, axis)
        resized = new.add("Gather", resized, picked, axis=axis + 1)
    return resized


def _is_left(new: Rewriting, before: int, after: int) -> bool:
    """Whether onnxruntime picks the pixels of an axis that TensorFlow does."""
    if min(before, after) < 0 or not has_own_length(before, after):
        return False
    return np.array_equal(_indices_of_tensorflow(new, before, after), _indices_of_onnxruntime(new, before, after))


def has_own_length(before: int, after: int) -> bool:
    """Whether a length times what ONNX takes for the scale is the new length, and not just below it."""
    return int(np.float32(before) * np.float32(after / before)) == after


def _indices_of_tensorflow(new: Rewriting, before: int, after: int) -> _Indices:
    """Which pixels of an axis are picked, as in TensorFlow's `resize_nearest_neighbor_op.cc`."""
    places = np.arange(after, dtype=np.float32)
    if _is(new, "align_corners"):
        found = _rounded(places * (np.float32(before - 1) / np.float32(max(after - 1, 1))))
    elif _is(new, "half_pixel_centers"):
        found = np.floor((places + _HALF) * (np.float32(before) / np.float32(after)))
    else:
        found = np.floor(places * (np.float32(before) / np.float32(after)))
    return np.minimum(found, before - 1).astype(np.int64)


def _indices_of_onnxruntime(new: Rewriting, before: int, after: int) -> _Indices:
    """Which ones onnxruntime picks by a scale, counting from the edges of pixels."""
    places = np.arange(after, dtype=np.float32)
    if _is(new, "align_corners"):
        found = _rounded(places * np.float32(before - 1) / np.float32(max(after - 1, 1)))
    else:
        found = np.floor(places / np.float32(after / before))
    return np.minimum(found, before - 1).astype(np.int64)


def _rounded(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded, halves up; a sum with 0.5 would be rounded itself."""
    floors = np.floor(numbers)
    return floors + (numbers - floors >= _HALF)


def _indices_at_run(new: Rewriting, axis: int) -> str:
    """Which pixels of an axis TensorFlow picks, by sizes of the run."""
    images, size = new.inputs
    length = new.add("Gather", new.add("Shape", images), new.constant(axis + 1, "int64"))
    wanted = new.add("Gather", new.cast(size, TensorProto.INT64), new.constant(axis, "int64"))
    zero, one = new.constant(0, "int64"), new.constant(1, "int64")
    last = new.add("Sub", length, one)
    places = _float(new, new.add("Range", zero, wanted, one))
    if _is(new, "align_corners"):
        steps = new.add("Max", new.add("Sub", wanted, one), one)
        exact = new.add("Mul", places, new.add("Div", _float(new, last), _float(new, steps)))
        floors = new.add("Floor", exact)
        is_below = new.add("Less", new.add("Sub", exact, floors), new.constant(_HALF))
        found = new.add("Add", floors, _float(new, new.add("Not", is_below)))
    else:
        scale = new.add("Div", _float(new, length), _float(new, wanted))
        if _is(new, "half_pixel_centers"):
            places = new.add("Add", places, new.constant(_HALF))
        found = new.add("Floor", new.add("Mul", places, scale))
    return new.add("Min", new.cast(found, TensorProto.INT64), last)


def _float(new: Rewriting, tensor: str) -> str:
    return new.add("Cast", tensor, to=TensorProto.FLOAT)


def _is(new: Rewriting, name: str) -> bool:
    return bool(new.attribute(name, 0))
