"""TensorFlow's TensorProto to arrays and back.

Source: tensorflow/core/framework/tensor.proto. Values come in `tensor_content` or in the one field of their dtype.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedge_server.pb import tensor_pb2 as pb
from kedge_server.wire.codec.fields import length_delimited
from kedge_server.wire.codec.open_inference import narrowed
from kedge_server.wire.codec.shapes import TensorInvalid, checked_shape, shown

DATA_TYPES: "dict[str, pb.DataType.ValueType]" = {
    "bool": pb.DT_BOOL,
    "int8": pb.DT_INT8,
    "int16": pb.DT_INT16,
    "int32": pb.DT_INT32,
    "int64": pb.DT_INT64,
    "uint8": pb.DT_UINT8,
    "uint16": pb.DT_UINT16,
    "uint32": pb.DT_UINT32,
    "uint64": pb.DT_UINT64,
    "float16": pb.DT_HALF,
    "float32": pb.DT_FLOAT,
    "float64": pb.DT_DOUBLE,
    "string": pb.DT_STRING,
}
"""A signature's dtype -> TensorFlow's number for it."""

DTYPES = {data_type: dtype for dtype, data_type in DATA_TYPES.items()}

_FIELDS: dict[str, tuple[str, type[np.generic]]] = {
    "bool": ("bool_val", np.bool_),
    "int8": ("int_val", np.int32),
    "int16": ("int_val", np.int32),
    "int32": ("int_val", np.int32),
    "int64": ("int64_val", np.int64),
    "uint8": ("int_val", np.int32),
    "uint16": ("int_val", np.int32),
    "uint32": ("uint32_val", np.uint32),
    "uint64": ("uint64_val", np.uint64),
    "float16": ("half_val", np.int32),
    "float32": ("float_val", np.float32),
    "float64": ("double_val", np.float64),
    "string": ("string_val", np.object_),
}
"""The typed field of each dtype, and the field's own type. float16 travels as its 16 bits in an int32."""

_USUAL_FIELDS = 3
"""Dtype, shape and content."""
_NOT_VALUES = {"dtype", "tensor_shape", "version_number"}
_MAX_REPEATED_BYTES = 64 << 20
"""How large one value may be repeated to: otherwise a message of 40 bytes would become a run that fills the memory."""

_FIXED_WIDTH = {
    dtype: pb.TensorProto.DESCRIPTOR.fields_by_name[_FIELDS[dtype][0]].number
    for dtype in ("bool", "float32", "float64")
}
"""Dtypes whose packed field is, on the wire, the array's own bytes: a copy instead of a conversion of each value. The
number of that field."""

_TENSOR_CONTENT = pb.TensorProto.DESCRIPTOR.fields_by_name["tensor_content"].number

_OF_NUMPY = {np.dtype(object if dtype == "string" else dtype): dtype for dtype in DATA_TYPES}
_NUMPY = {dtype: of_numpy for of_numpy, dtype in _OF_NUMPY.items()}


def fields_of_bytes(dtype: "np.dtype[Any]") -> tuple[int, ...]:
    """The numbers of the fields that may hold an array's own bytes."""
    own = _FIXED_WIDTH.get(dtype.name)
    return (_TENSOR_CONTENT,) if own is None else (_TENSOR_CONTENT, own)


def decode(proto: pb.TensorProto) -> NDArray[np.generic]:
    """The array that a TensorProto carries; `tensor_content` is viewed read-only, typed values are copied.

    One value for a whole shape becomes a read-only view that repeats it: nothing of that size is allocated for inputs
    that are refused later, however many of them a message has.

    Raises:
        TensorInvalid: an unknown dtype or rank, a bad shape, values in another field or of another number than
            dtype and shape need.
    """
    dtype = DTYPES.get(proto.dtype)
    if dtype is None:
        raise TensorInvalid(f"expected a dtype among {', '.join(DATA_TYPES)}, got TensorFlow's number {proto.dtype}")
    if proto.tensor_shape.unknown_rank:
        raise TensorInvalid("expected a tensor_shape with every size, got unknown_rank")
    shape = checked_shape(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_content and len(proto.ListFields()) == _USUAL_FIELDS:
        return _from_content(proto.tensor_content, dtype, shape)
    field, _ = _FIELDS[dtype]
    used = [descriptor.name for descriptor, _ in proto.ListFields() if descriptor.name not in _NOT_VALUES]
    if len(used) > 1 or any(name not in (field, "tensor_content") for name in used):
        raise TensorInvalid(f"expected the values of {dtype} in tensor_content or {field}, got {' and '.join(used)}")
    if "tensor_content" in used:
        return _from_content(proto.tensor_content, dtype, shape)
    return _from_values(proto, dtype, shape)


def encode(array: NDArray[np.generic], proto: pb.TensorProto | None = None) -> pb.TensorProto:
    """A TensorProto with the values in the typed field of their dtype, where TensorFlow Serving puts its answers.

    Args:
        array: any dtype that is served.
        proto: an empty one to fill; a new one where None.

    Raises:
        TensorInvalid: TensorFlow has no such type.
    """
    dtype = _OF_NUMPY.get(array.dtype)
    if dtype is None:
        raise TensorInvalid(f"the dtype {array.dtype} cannot be put into a TensorProto here")
    proto = pb.TensorProto() if proto is None else proto
    proto.dtype = DATA_TYPES[dtype]
    dimensions = proto.tensor_shape.dim
    for size in array.shape:
        dimensions.add(size=size)
    field, field_type = _FIELDS[dtype]
    if dtype in _FIXED_WIDTH:
        if array.size:
            proto.MergeFromString(length_delimited(_FIXED_WIDTH[dtype], array.tobytes()))
    elif dtype == "float16":
        proto.half_val.extend(array.view(np.uint16).ravel().tolist())
    elif dtype == "string":
        proto.string_val.extend(array.ravel().tolist())
    else:
        getattr(proto, field).extend(array.astype(field_type, copy=False).ravel().tolist())
    return proto


def _from_content(data: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    if dtype == "string":
        raise TensorInvalid("expected strings in string_val, got tensor_content")
    numpy_dtype, count = _NUMPY[dtype], math.prod(shape)
    if len(data) != count * numpy_dtype.itemsize:
        raise TensorInvalid(
            f"expected {count * numpy_dtype.itemsize} bytes of tensor_content for {dtype} of shape {shown(shape)}, "
            f"got {len(data)}"
        )
    if dtype == "bool" and (np.frombuffer(data, np.uint8) > 1).any():
        raise TensorInvalid("expected each bool to be a byte of 0 or 1, got another value")
    return np.frombuffer(data, numpy_dtype).reshape(shape)


def _from_values(proto: pb.TensorProto, dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    field, field_type = _FIELDS[dtype]
    values, count = getattr(proto, field), math.prod(shape)
    if len(values) not in (1, count):
        raise TensorInvalid(
            f"expected {count} values in {field} for {dtype} of shape {shown(shape)}, or one to fill it with, "
            f"got {len(values)}"
        )
    flat = _flat(list(values) if dtype == "string" else np.array(values, field_type), dtype)
    if len(flat) == count:
        return flat.reshape(shape)
    if count * flat.itemsize > _MAX_REPEATED_BYTES:
        raise TensorInvalid(
            f"one value would be repeated to fill the shape {shown(shape)}: {count * flat.itemsize} bytes, "
            f"more than {_MAX_REPEATED_BYTES}"
        )
    return np.broadcast_to(flat, shape)


def _flat(values: Any, dtype: str) -> NDArray[np.generic]:  # noqa: ANN401 (a list of bytes or an array)
    if dtype == "string":
        strings = np.empty(len(values), object)
        strings[:] = values
        return strings
    if dtype == "float16":
        return narrowed(values, np.dtype(np.uint16)).view(np.float16)
    return narrowed(values, np.dtype(dtype))
