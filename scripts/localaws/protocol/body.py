"""Reads request bodies with a size limit and a timeout."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..errors import AwsError

_IDLE_S = 30.0
_ACCEPTED = "localaws body accepted"


async def accept_body(request: web.BaseRequest) -> None:
    """Send `100 Continue` to a client that waits for it (`Expect: 100-continue`)."""
    if _is_waiting(request) and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request[_ACCEPTED] = True


def leaves_body_unsent(request: web.BaseRequest) -> bool:
    """True if the client waits for `100 Continue` and did not get it: the connection cannot be reused."""
    return _is_waiting(request) and not request.get(_ACCEPTED)


def _is_waiting(request: web.BaseRequest) -> bool:
    return request.headers.get("Expect", "").lower() == "100-continue"


async def next_chunk(request: web.BaseRequest) -> bytes:
    """The next bytes of the body, empty at its end. Raises RequestTimeout when none come."""
    try:
        async with asyncio.timeout(_IDLE_S):
            return await request.content.readany()
    except TimeoutError as error:
        raise AwsError(
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period.",
        ) from error
    except web.RequestPayloadError as error:
        raise AwsError("IncompleteBody", f"The body is not what its headers promise: {error}") from error


async def read_body(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """The whole body. Raises RequestEntityTooLarge over the limit, RequestTimeout where no byte comes."""
    too_large = AwsError("RequestEntityTooLarge", f"The body is larger than {limit_bytes} bytes.", 413)
    if (request.content_length or 0) > limit_bytes:
        raise too_large
    await accept_body(request)
    chunks: list[bytes] = []
    size_bytes = 0
    while chunk := await next_chunk(request):
        chunks.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise too_large
    return b"".join(chunks)
