"""Requests of the platform to this server's S3, signed and served like those of clients."""

from __future__ import annotations

import urllib.parse
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from ..emulator import Emulator
from ..errors import LocalAwsError
from ..protocol import sigv4


class PlatformS3Error(LocalAwsError):
    """S3 rejected a request of the platform; the text is S3's message."""


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of `s3://bucket/key`. Raises PlatformS3Error."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise PlatformS3Error(f"{uri} is not an address in S3")
    return bucket, key


async def get(emulator: Emulator, http: aiohttp.ClientSession, uri: str) -> tuple[bytes, str]:
    """An object's bytes and its content type."""
    async with await _request(emulator, http, "GET", uri, None, {}) as answer:
        return await answer.read(), answer.headers.get("Content-Type", "application/octet-stream")


async def put(
    emulator: Emulator, http: aiohttp.ClientSession, uri: str, body: bytes, content_type: str
) -> None:
    """Write an object."""
    async with await _request(emulator, http, "PUT", uri, body, {"content-type": content_type}):
        return


async def _request(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    method: str,
    uri: str,
    body: bytes | None,
    headers: dict[str, str],
) -> aiohttp.ClientResponse:
    bucket, key = split_uri(uri)
    rows = emulator.database.query("SELECT region FROM s3_buckets WHERE name = ?", (bucket,))
    if not rows:
        raise PlatformS3Error(f"NoSuchBucket: the bucket of {uri} does not exist")
    host = emulator.endpoint_url.removeprefix("http://")
    path = f"/{bucket}/{urllib.parse.quote(key, safe='/-_.~')}"
    sent = {"host": host, "x-amz-content-sha256": sigv4.UNSIGNED_PAYLOAD, **headers}
    request = sigv4.Request(method, path, "", {name: [value] for name, value in sent.items()})
    signed = sigv4.signed_headers(emulator.keys.user, request, "s3", rows[0][0], None, datetime.now(UTC))
    address = URL(f"{emulator.endpoint_url}{path}", encoded=True)
    answer = await http.request(method, address, data=body, headers={**sent, **signed})
    if answer.status >= 300:
        text = await answer.text(errors="replace")
        answer.release()
        raise PlatformS3Error(f"S3 refused {method} {uri} ({answer.status}): {text[:500]}")
    return answer
