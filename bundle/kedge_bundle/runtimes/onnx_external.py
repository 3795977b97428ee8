"""Which other files an ONNX model reads: its tensors may keep their values beside it, unhashed and unlisted.

Reads the protobuf wire format itself (https://protobuf.dev/programming-guides/encoding/), along the fields of
`onnx.proto` that lead to tensors: a box that serves has no `onnx` package, and onnxruntime reads such files without a
word.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

_INSIDE: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto", 22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "TensorProto": {13: "StringStringEntryProto"},
    "StringStringEntryProto": {},
}  # fmt: skip
"""Field numbers of `onnx.proto` by message, with the message that the field holds."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KEY, _VALUE = 1, 2
_LOCATION = b"location"


def external_files(path: Path) -> list[str]:
    """The files that the model's tensors name, as the model names them; sorted, each once.

    Raises:
        ValueError: the file is not in the protobuf wire format.
        OSError: it cannot be read.
    """
    if not path.stat().st_size:  # nothing to map
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return sorted(set(_locations(data)))


def _locations(data: mmap.mmap) -> Iterator[str]:
    waiting = [("ModelProto", 0, len(data))]
    while waiting:
        message, start, end = waiting.pop()
        if message == "StringStringEntryProto":
            entry = {number: data[first:last] for number, first, last in _fields(data, start, end)}
            if entry.get(_KEY) == _LOCATION:
                yield entry.get(_VALUE, b"").decode("utf-8", errors="replace")
            continue
        inside = _INSIDE[message]
        waiting.extend(
            (inside[number], first, last) for number, first, last in _fields(data, start, end) if number in inside
        )


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, beginning and end of every length-delimited field of a message; the others are stepped over."""
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == _BYTES:
            length, at = _varint(data, at, end)
            if at + length > end:
                raise ValueError(f"a field reaches {at + length - end} bytes beyond its message")
            yield tag >> 3, at, at + length
            at += length
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of the unknown kind {kind}")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:  # noqa: PLR2004 (ten bytes of seven bits)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 (the last byte has no continuation bit)
            return value, at
        shift += 7
    raise ValueError("a number without an end")
