"""CBOR (RFC 8949) for the Smithy RPC v2 protocol, which CloudWatch's current clients speak."""

from __future__ import annotations

import io
from typing import Any

import cbor2

from ..errors import AwsError

_MAX_DEPTH = 32
# Tags by which a value can hold itself.
_SHARED_VALUES = (28, 29)


def dumps(value: Any) -> bytes:
    """Encode a value; times go as seconds since 1970, the way the protocol has them."""
    return cbor2.dumps(value, datetime_as_timestamp=True)


def loads(data: bytes) -> Any:
    """Decode one value. Raises SerializationException for anything that is not one whole value."""
    stream = io.BytesIO(data)
    decoders = dict.fromkeys(_SHARED_VALUES, _refuse)
    try:
        value = cbor2.load(stream, max_depth=_MAX_DEPTH, semantic_decoders=decoders)
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, OSError) as error:
        raise AwsError("SerializationException", "The request body is not valid CBOR.") from error
    if stream.read(1):
        raise AwsError("SerializationException", "The request body is not one CBOR value.")
    return value


def _refuse(_: object) -> Any:
    raise ValueError("shared values are not part of the protocol")
