"""Protocol buffers on the wire: numbered fields in, numbered fields out."""

from collections.abc import Iterator


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbered fields of a message: whole numbers, or bytes.

    Raises:
        ValueError: the bytes end in the middle of a field, or hold no such thing as a field.
    """
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _number(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _number(message, at)
        else:
            length = {1: 8, 5: 4}.get(kind, -1)
        if not 0 <= length <= len(message) - at or number < 1:
            raise ValueError(f"Broken message. Expected: fields. Received: {message[:16]!r}...")
        yield number, message[at : at + length]
        at += length


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a whole number, or text, bytes or a message with its length before it."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def numbers(packed: bytes) -> Iterator[int]:
    """The whole numbers of a packed repeated field."""
    at = 0
    while at < len(packed):
        value, at = _number(packed, at)
        yield value


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte, at = message[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            value &= (1 << 64) - 1
            return value - (1 << 64) if value >> 63 else value, at
    raise ValueError(f"Broken message. Expected: a number. Received: {message[:16]!r}...")


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as if they were 64 bits wide
    octets = bytearray()
    while value > 127:
        octets.append(value & 127 | 128)
        value >>= 7
    return bytes([*octets, value])
