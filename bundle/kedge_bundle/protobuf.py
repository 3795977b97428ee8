"""Protobuf messages as bytes: where their fields stand.

https://protobuf.dev/programming-guides/encoding/
"""

import mmap
from collections.abc import Iterator

_VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5
"""The wire types of fields; those of `BYTES` begin with their length."""

_WIDTHS = {_FIXED64: 8, _FIXED32: 4}


def fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Every length-delimited field of the message in `data[at:end]`; the others are stepped over.

    Yields:
        its number, where the field begins, where what it holds begins, and where both end.

    Raises:
        ValueError: the bytes are no message.
    """
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == BYTES:
            length, at = _varint(data, at, end)
            if at + length > end:
                raise ValueError(f"a field reaches {at + length - end} bytes beyond its message")
            yield tag >> 3, start, at, at + length
            at += length
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in _WIDTHS:
            at += _WIDTHS[kind]
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
    if at > end:
        raise ValueError(f"a field reaches {at - end} bytes beyond its message")


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
