"""Tensors of the Open Inference Protocol: raw bytes and typed contents to arrays, arrays to raw bytes.

Raw: row-major, little-endian, no padding; BYTES as a 4-byte little-endian length before each element. FP16 has no
typed form. Source: open-inference-protocol, specification/protocol/inference_grpc.md.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedge_server.pb.open_inference_pb2 import InferTensorContents
from kedge_server.wire.codec.shapes import TensorInvalid, shown

DATATYPES = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
"""A signature's dtype -> the protocol's name for it."""

DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
NUMPY_DTYPES = {datatype: np.dtype(dtype) for datatype, dtype in DTYPES.items() if dtype != "string"}

_OF_NUMPY: dict[np.dtype[Any], str] = {dtype: datatype for datatype, dtype in NUMPY_DTYPES.items()}
_OF_NUMPY[np.dtype(object)] = "BYTES"

_CONTENTS: dict[str, tuple[str, type[np.generic]]] = {
    "BOOL": ("bool_contents", np.bool_),
    "INT8": ("int_contents", np.int32),
    "INT16": ("int_contents", np.int32),
    "INT32": ("int_contents", np.int32),
    "INT64": ("int64_contents", np.int64),
    "UINT8": ("uint_contents", np.uint32),
    "UINT16": ("uint_contents", np.uint32),
    "UINT32": ("uint_contents", np.uint32),
    "UINT64": ("uint64_contents", np.uint64),
    "FP32": ("fp32_contents", np.float32),
    "FP64": ("fp64_contents", np.float64),
    "BYTES": ("bytes_contents", np.object_),
}
"""The field of InferTensorContents that carries each datatype, and the field's own type."""

_LENGTH_BYTES = 4


def decode_raw(datatype: str, shape: tuple[int, ...], data: bytes | memoryview) -> NDArray[np.generic]:
    """View raw bytes as an array of a checked shape, read-only; numbers are copied only from where they lie askew.

    Raises:
        TensorInvalid: an unknown datatype, or another number of bytes than the shape needs.
    """
    count = _checked_count(datatype, shape)
    if datatype == "BYTES":
        return _unpack_strings(bytes(data), count).reshape(shape)
    dtype = NUMPY_DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise TensorInvalid(
            f"expected {count * dtype.itemsize} bytes for {datatype} of shape {shown(shape)}, got {len(data)}"
        )
    if datatype == "BOOL" and (np.frombuffer(data, np.uint8) > 1).any():
        raise TensorInvalid("expected each BOOL to be a byte of 0 or 1, got another value")
    return viewed(data, dtype, shape)


def viewed(data: bytes | memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """View the bytes of numbers, exactly as many as the shape needs, as a read-only array.

    They are copied only from where they lie askew: runtimes and numpy take values that lie so slowly, or not at all.
    """
    array = np.frombuffer(data, dtype)
    if not array.flags.aligned:
        array = np.frombuffer(bytes(data), dtype)
    return array.reshape(shape)


def decode_contents(datatype: str, shape: tuple[int, ...], contents: InferTensorContents) -> NDArray[np.generic]:
    """Copy typed contents into an array of a checked shape.

    Raises:
        TensorInvalid: an unknown datatype, values in another field than its own, of another number than the
            shape needs, or outside of the datatype's range.
    """
    count = _checked_count(datatype, shape)
    if datatype not in _CONTENTS:
        raise TensorInvalid(f"{datatype} travels only in raw_input_contents")
    field, field_type = _CONTENTS[datatype]
    used = [descriptor.name for descriptor, _ in contents.ListFields()]
    if any(name != field for name in used):
        raise TensorInvalid(f"expected the values of {datatype} in {field}, got values in {', '.join(used)}")
    values = getattr(contents, field)
    if len(values) != count:
        raise TensorInvalid(
            f"expected {count} values in {field} for {datatype} of shape {shown(shape)}, got {len(values)}"
        )
    if datatype == "BYTES":
        return _object_array(list(values)).reshape(shape)
    return narrowed(np.array(values, field_type), NUMPY_DTYPES[datatype]).reshape(shape)


def encode_raw(array: NDArray[np.generic]) -> bytes:
    """An array's values as raw bytes; object arrays carry bytes."""
    return _pack_strings(array) if array.dtype == object else array.tobytes()


def datatype_of(array: NDArray[np.generic]) -> str:
    """The protocol's name of an array's dtype.

    Raises:
        TensorInvalid: the protocol has no such type.
    """
    datatype = _OF_NUMPY.get(array.dtype)
    if datatype is None:
        raise TensorInvalid(f"the dtype {array.dtype} has no datatype in the Open Inference Protocol")
    return datatype


def narrowed(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[np.generic]:
    """Values of a wider field as the dtype that was declared for them.

    Raises:
        TensorInvalid: a value does not fit.
    """
    if values.dtype == dtype:
        return values
    limits = np.iinfo(dtype)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise TensorInvalid(f"expected values from {limits.min} to {limits.max} for {dtype}, got others")
    return values.astype(dtype)


def _checked_count(datatype: str, shape: tuple[int, ...]) -> int:
    if datatype == "BF16":
        raise TensorInvalid("BF16 is not served; send FP32")
    if datatype not in DTYPES:
        raise TensorInvalid(f"expected a datatype among {', '.join(DTYPES)}, got '{datatype[:40]}'")
    return math.prod(shape)


def _unpack_strings(data: bytes, count: int) -> NDArray[np.object_]:
    if count * _LENGTH_BYTES > len(data):  # before anything of that size is allocated
        raise TensorInvalid(
            f"expected {count} BYTES elements, each with 4 bytes of length, got {len(data)} bytes in all"
        )
    items: list[bytes] = []
    position = 0
    for index in range(count):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(data[position:start], "little")
        if position > len(data):
            raise TensorInvalid(f"the BYTES element {index} of {count} reaches beyond the {len(data)} bytes that came")
        items.append(data[start:position])
    if position != len(data):
        raise TensorInvalid(f"expected {count} BYTES elements in {position} bytes, got {len(data)} bytes")
    return _object_array(items)


def _pack_strings(array: NDArray[np.generic]) -> bytes:
    return b"".join(len(item).to_bytes(_LENGTH_BYTES, "little") + item for item in array.ravel().tolist())


def _object_array(items: list[bytes]) -> NDArray[np.object_]:
    """One axis of bytes; numpy would make fixed-width strings of them and drop trailing NULs."""
    array = np.empty(len(items), object)
    array[:] = items
    return array
