"""Which other files an ONNX model reads: its tensors may keep their values beside it, unhashed and unlisted.

Reads the protobuf wire format itself, along the fields of `onnx.proto` that lead to tensors: a box that serves has no
`onnx` package, and onnxruntime reads such files without a word.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from kedge_bundle.protobuf import fields

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
            entry = {number: data[first:last] for number, _, first, last in fields(data, start, end)}
            if entry.get(_KEY) == _LOCATION:
                yield entry.get(_VALUE, b"").decode("utf-8", errors="replace")
            continue
        inside = _INSIDE[message]
        waiting.extend(
            (inside[number], first, last) for number, _, first, last in fields(data, start, end) if number in inside
        )
