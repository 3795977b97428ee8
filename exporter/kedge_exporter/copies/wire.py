"""Protobuf files as bytes: the same bytes with some fields replaced.

A model file is one message with hundreds of megabytes of weights in it. Parsed as a whole it would be held twice, and
written again its maps would come in another order; here every byte stays that nobody meant to change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from kedge_bundle import protobuf


@dataclass(frozen=True, order=True)
class Field:
    """A length-delimited field: `data[start:end]` is all of it, `data[begin:end]` what it holds."""

    start: int
    begin: int
    end: int
    number: int


@dataclass(frozen=True)
class Edit:
    """A field that holds something else, or one more field of a message.

    Attributes:
        path: the fields from the outermost inwards; the last is the one that changes.
        content: what it holds now, or the field to add behind its last one.
        is_added: whether `content` is such a field.
    """

    path: tuple[Field, ...]
    content: bytes
    is_added: bool = False


def opened(path: Path) -> mmap:
    """The file's bytes, to be read."""
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def fields(data: mmap, message: Field | None = None, *numbers: int) -> Iterator[Field]:
    """The length-delimited fields of a message, or of the whole file, that have one of these numbers; in their order.

    Raises:
        ValueError: the bytes are no message.
    """
    at, end = (0, len(data)) if message is None else (message.begin, message.end)
    for number, start, begin, last in protobuf.fields(data, at, end):
        if not numbers or number in numbers:
            yield Field(start, begin, last, number)


def content(data: mmap, field: Field) -> bytes:
    """What a field holds."""
    return data[field.begin : field.end]


def encoded(number: int, holds: bytes) -> bytes:
    """A length-delimited field."""
    return _head(number, len(holds)) + holds


def write(path: Path, data: mmap, edits: Sequence[Edit]) -> None:
    """Write the file with these edits; every other byte is as it was, but for the lengths of what surrounds them."""
    with memoryview(data) as view:
        pieces = _edited(view, 0, len(data), [(edit.path, edit) for edit in edits])
        try:
            with path.open("wb") as file:
                file.writelines(pieces)
        finally:
            for piece in pieces:
                piece.release()


def _edited(view: memoryview, at: int, end: int, edits: list[tuple[tuple[Field, ...], Edit]]) -> list[memoryview]:
    """The pieces that make up a message after its edits; each comes with what is left of its path."""
    inside: dict[Field, list[tuple[tuple[Field, ...], Edit]]] = {}
    for path, edit in edits:
        if path:
            inside.setdefault(path[0], []).append((path[1:], edit))
    pieces = []
    for field in sorted(inside):
        replaced = next((edit for path, edit in inside[field] if not path and not edit.is_added), None)
        if replaced is not None:
            made = [memoryview(replaced.content)]
        else:
            made = _edited(view, field.begin, field.end, inside[field])
        head = _head(field.number, sum(len(piece) for piece in made))
        pieces += [view[at : field.start], memoryview(head), *made]
        at = field.end
    added = [memoryview(edit.content) for path, edit in edits if not path]
    return [*pieces, view[at:end], *added]


def _head(number: int, length: int) -> bytes:
    return _as_varint(number << 3 | protobuf.BYTES) + _as_varint(length)


def _as_varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:  # noqa: PLR2004 (seven bits a byte)
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
