"""As much of CBOR (RFC 8949) as the Smithy RPC v2 protocol needs: CloudWatch's current clients speak it."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

from ..errors import AwsError

_MAX_DEPTH = 32
_TAG_EPOCH_S = 1
_BREAK = object()


def dumps(value: Any) -> bytes:
    """Encode None, bool, int, float, str, bytes, list, dict, and datetime as a tagged epoch time."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        encoded = value.encode()
        return _head(3, len(encoded)) + encoded
    if isinstance(value, datetime):
        return _head(6, _TAG_EPOCH_S) + dumps(value.timestamp())
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(map(dumps, value))
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(dumps(key) + dumps(item) for key, item in value.items())
    raise TypeError(f"CBOR has no form for {type(value).__name__}")


def loads(data: bytes) -> Any:
    """Decode one value. Raises SerializationException for anything that is not one whole value."""
    try:
        value, position = _read(data, 0, 0)
    except (IndexError, struct.error, ValueError, OverflowError, OSError, TypeError) as error:
        raise AwsError("SerializationException", "The request body is not valid CBOR.") from error
    if position != len(data) or value is _BREAK:
        raise AwsError("SerializationException", "The request body is not one CBOR value.")
    return value


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for extra, (form, limit) in enumerate((("B", 2**8), ("H", 2**16), ("I", 2**32), ("Q", 2**64))):
        if argument < limit:
            return bytes([major << 5 | 24 + extra]) + struct.pack(">" + form, argument)
    raise OverflowError(argument)


def _read(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    major, extra = data[position] >> 5, data[position] & 31
    position += 1
    if major == 7:
        return _read_simple(data, position, extra)
    if extra == 31:
        return _read_indefinite(data, position, major, depth)
    argument, position = _read_argument(data, position, extra)
    if major == 0:
        return argument, position
    if major == 1:
        return -1 - argument, position
    if major in (2, 3):
        chunk = data[position : position + argument]
        if len(chunk) != argument:
            raise ValueError("cut short")
        return chunk if major == 2 else chunk.decode(), position + argument
    if major == 6:
        value, position = _read(data, position, depth + 1)
        return datetime.fromtimestamp(value, UTC) if argument == _TAG_EPOCH_S else value, position
    if argument > len(data):
        raise ValueError("cut short")
    items = []
    for _ in range(argument * (2 if major == 5 else 1)):
        item, position = _read_item(data, position, depth)
        items.append(item)
    return _collected(major, items), position


def _read_argument(data: bytes, position: int, extra: int) -> tuple[int, int]:
    if extra < 24:
        return extra, position
    form = {24: "B", 25: "H", 26: "I", 27: "Q"}.get(extra)
    if form is None:
        raise ValueError("reserved")
    (argument,) = struct.unpack_from(">" + form, data, position)
    return argument, position + struct.calcsize(form)


def _read_simple(data: bytes, position: int, extra: int) -> tuple[Any, int]:
    if extra in (25, 26, 27):
        form = {25: ">e", 26: ">f", 27: ">d"}[extra]
        return struct.unpack_from(form, data, position)[0], position + struct.calcsize(form)
    simple = {20: False, 21: True, 22: None, 23: None, 31: _BREAK}
    if extra not in simple:
        raise ValueError("unknown simple value")
    return simple[extra], position


def _read_indefinite(data: bytes, position: int, major: int, depth: int) -> tuple[Any, int]:
    items = []
    while True:
        item, position = _read(data, position, depth + 1)
        if item is _BREAK:
            break
        items.append(item)
    if major in (2, 3):
        return (b"" if major == 2 else "").join(items), position
    return _collected(major, items), position


def _read_item(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    item, position = _read(data, position, depth + 1)
    if item is _BREAK:
        raise ValueError("break in a value of known length")
    return item, position


def _collected(major: int, items: list[Any]) -> Any:
    if major == 4:
        return items
    if major != 5 or len(items) % 2:
        raise ValueError("not a list or map")
    return dict(zip(items[::2], items[1::2], strict=True))
