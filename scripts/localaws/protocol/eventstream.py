"""Frames of `application/vnd.amazon.eventstream`, as SageMaker Runtime sends them.

A frame is: total length, headers length, CRC32 of these two, headers, payload, CRC32 of all before; big
endian. Source: the event stream specification of the AWS SDKs (botocore's `eventstream.py` reads the same).
"""

from __future__ import annotations

import json
import struct
import zlib

_STRING = 7


def payload_part(payload: bytes) -> bytes:
    """A `PayloadPart` event."""
    kind = {":message-type": "event", ":event-type": "PayloadPart"}
    return frame({**kind, ":content-type": "application/octet-stream"}, payload)


def exception(kind: str, message: str, error_code: str) -> bytes:
    """A modelled exception inside the stream (`ModelStreamError`, `InternalStreamFailure`)."""
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return frame(headers, json.dumps({"Message": message, "ErrorCode": error_code}).encode())


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame; header values are all strings."""
    encoded = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", _STRING, len(value))
        + value.encode()
        for name, value in headers.items()
    )
    total_bytes = 4 + 4 + 4 + len(encoded) + len(payload) + 4
    prelude = struct.pack("!II", total_bytes, len(encoded))
    start = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return start + struct.pack("!I", zlib.crc32(start))
