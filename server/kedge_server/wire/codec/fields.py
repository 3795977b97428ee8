"""Fields as they stand on the wire: put together, and taken out of a message, without parsing it.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

_KIND, _KIND_BITS = 0b111, 3
_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
_MOST_BITS = 64
_LOW_SEVEN_BITS, _MORE_FOLLOWS = 0x7F, 0x80
_MOST_FIELDS = 64
"""More are protobuf's to look through, which does it in C."""


class _NotPlainError(Exception):
    """What protobuf makes of this message is for protobuf to say."""


def length_delimited(number: int, data: bytes) -> bytes:
    """A field of bytes, of a message or of packed values: its tag, its length, and what it holds.

    Args:
        number: of the field, below 16.
        data: what it holds.
    """
    head = bytearray([number << _KIND_BITS | _LENGTH_DELIMITED])
    length = len(data)
    while length > _LOW_SEVEN_BITS:
        head.append(length & _LOW_SEVEN_BITS | _MORE_FOLLOWS)
        length >>= 7
    head.append(length)
    return bytes(head) + data


def cut_out(message: bytes, *numbers: int) -> tuple[bytes, tuple[list[memoryview], ...]]:
    """Take all fields of some numbers out of a message: large ones, which parsing would copy twice, or changing ones.

    Args:
        message: on the wire.
        numbers: of fields of bytes or text, below 16.

    Returns:
        The message without those fields, and for each number a view of what each of its fields holds, in order. The
        message as it came, and nothing, where it has very many fields, or is not written plainly: it is to be parsed
        whole.
    """
    found: dict[int, list[memoryview]] = {number << _KIND_BITS | _LENGTH_DELIMITED: [] for number in numbers}
    try:
        return _without(message, found), tuple(found.values())
    except (_NotPlainError, IndexError):  # or it ends within a field
        return message, tuple([] for _ in numbers)


def place_of(message: bytes, *path: int) -> tuple[int, int] | None:
    """Where the bytes lie to which a path of fields leads: their beginning and their end.

    Args:
        message: on the wire.
        path: numbers of fields, below 16, each within the one before it.

    Returns:
        None where one of them is not there, or more than once, or the message is not written plainly.
    """
    begin, end = 0, len(message)
    try:
        for number in path:
            wanted = number << _KIND_BITS | _LENGTH_DELIMITED
            ((begin, end),) = [(at, to) for tag, _, at, to in _plain_fields(message, begin, end) if tag == wanted]
    except (_NotPlainError, IndexError, ValueError):  # ValueError: there is not one, but none or several
        return None
    return begin, end


def _without(message: bytes, found: dict[int, list[memoryview]]) -> bytes:
    """The message without the fields of these tags; what they hold is put into their lists."""
    view = memoryview(message)
    kept: list[bytes] = []
    kept_to = 0
    for tag, begun, place, end in _plain_fields(message, 0, len(message)):
        if tag in found:
            kept.append(message[kept_to:begun])
            found[tag].append(view[place:end])
            kept_to = end
    return b"".join([*kept, message[kept_to:]]) if kept else message


def _plain_fields(message: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Of each field between two places: its tag, where it begins, where what it holds begins, and where it ends."""
    for _ in range(_MOST_FIELDS):
        if begin == end:
            return
        tag = message[begin]
        kind = tag & _KIND
        place = begin + 1
        if kind == _LENGTH_DELIMITED:
            length, place = _varint(message, place)
            after = place + length
        elif kind == _VARINT:
            _, after = _varint(message, place)
        elif kind in _FIXED_BYTES:
            after = place + _FIXED_BYTES[kind]
        else:
            raise _NotPlainError
        if tag & _MORE_FOLLOWS or after > end:
            raise _NotPlainError
        yield tag, begin, place, after
        begin = after
    raise _NotPlainError


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number that begins at a place, and the place behind it."""
    value = shift = 0
    while (byte := message[place]) & _MORE_FOLLOWS:
        value |= (byte & _LOW_SEVEN_BITS) << shift
        shift += 7
        place += 1
        if shift >= _MOST_BITS:
            raise _NotPlainError
    return value | byte << shift, place + 1
