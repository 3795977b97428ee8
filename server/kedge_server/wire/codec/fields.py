"""Fields as they stand on the wire, put together without a message.

Source: https://protobuf.dev/programming-guides/encoding/
"""

_LENGTH_DELIMITED = 2
_LOW_SEVEN_BITS, _MORE_FOLLOWS = 0x7F, 0x80


def length_delimited(number: int, data: bytes) -> bytes:
    """A field of bytes, of a message or of packed values: its tag, its length, and what it holds.

    Args:
        number: of the field, below 16.
        data: what it holds.
    """
    head = bytearray([number << 3 | _LENGTH_DELIMITED])
    length = len(data)
    while length > _LOW_SEVEN_BITS:
        head.append(length & _LOW_SEVEN_BITS | _MORE_FOLLOWS)
        length >>= 7
    head.append(length)
    return bytes(head) + data
