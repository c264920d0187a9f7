"""Writes an upload's body from the socket to a file, verified, in constant memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiohttp import web

from ...errors import AwsError
from ...network import Transfer
from ...protocol.body import accept_body, next_chunk
from ...protocol.call import Call
from ...protocol.sigv4 import UNSIGNED_PAYLOAD
from ...settings import FaultSpec
from . import checksums
from .chunked import ChunkDecoder, ChunkSignatures
from .transfer_faults import reset_connection

MAX_BODY_BYTES = 5 << 30
_BATCH_BYTES = 1 << 20
# Below this size, waking a thread costs more than the work.
_INLINE_BYTES = 128 << 10
_HEX_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Received:
    """A received body: size, MD5 (the ETag), and the verified checksum of the client."""

    size_bytes: int
    md5: bytes
    checksums: dict[str, str]

    @property
    def etag(self) -> str:
        """The ETag of an object uploaded in one piece, without quotes."""
        return self.md5.hex()


class Source(Protocol):
    """The source of an upload's bytes and headers."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Checksums, encodings and lengths."""

    @property
    def sizes_bytes(self) -> tuple[int, int] | None:
        """The allowed sizes; None if the headers give the exact size."""

    async def next_chunk(self) -> bytes:
        """The next bytes, empty at the end."""


@dataclass(frozen=True)
class RequestBody:
    """The body of a request as a source."""

    request: web.BaseRequest
    sizes_bytes: tuple[int, int] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers."""
        return self.request.headers

    async def next_chunk(self) -> bytes:
        """The next bytes of the body."""
        return await next_chunk(self.request)


async def receive(
    call: Call,
    source: Source,
    path: Path,
    threads: ThreadPoolExecutor,
    transfer: Transfer,
    reset: FaultSpec | None = None,
) -> Received:
    """Write the body to a new file. Raises AwsError, leaving no file, if its size or a checksum is wrong.

    `reset` cuts the connection after its number of bytes.
    """
    sink = _Sink(call, source, path)
    loop = asyncio.get_running_loop()
    writing: asyncio.Future[None] | None = None
    batch: list[bytes] = []
    batch_bytes = received_bytes = 0
    done = False
    try:
        await transfer.begin()
        await accept_body(call.request)
        while chunk := await source.next_chunk():
            await transfer.admit(len(chunk))
            received_bytes += len(chunk)
            if reset is not None and received_bytes >= reset.after_bytes:
                reset_connection(call.request)
            batch.append(chunk)
            batch_bytes += len(chunk)
            if batch_bytes >= _BATCH_BYTES:
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(threads, sink.write, batch)
                batch, batch_bytes = [], 0
        if writing is not None:
            await writing
            writing = None
        if received_bytes <= _INLINE_BYTES:
            sink.write(batch)
        else:
            await loop.run_in_executor(threads, sink.write, batch)
        received = sink.finish()
        done = True
        return received
    finally:
        if writing is not None:
            # A cancelled request must not close the file under the thread that writes it.
            await asyncio.wait([writing])
        sink.close()
        if not done:
            path.unlink(missing_ok=True)


class _Sink:
    """Decodes, hashes and writes; all methods but the constructor may run in any thread, one at a time."""

    def __init__(self, call: Call, source: Source, path: Path) -> None:
        headers = source.headers
        self._promised = headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD)
        self._decoder = _decoder(call, self._promised)
        self._size_bytes = 0
        self._allowed_bytes = source.sizes_bytes
        self._expected_bytes = (
            _expected_bytes(headers.get, self._decoder is not None)
            if self._allowed_bytes is None
            else self._allowed_bytes[1]
        )
        self._content_md5 = headers.get("Content-MD5")
        self._md5 = checksums.new("md5")
        is_hashed = self._decoder is None and self._promised != UNSIGNED_PAYLOAD
        self._sha256 = hashlib.sha256() if is_hashed else None
        self._algorithm = sent_algorithm(headers.get)
        self._claimed = headers.get(f"{checksums.HEADER_PREFIX}{self._algorithm}")
        # If the client's checksum is SHA-256, which the signature needs anyway, it is computed once.
        shared = self._algorithm == "sha256" and self._sha256 is not None
        self._checksum = checksums.new(self._algorithm) if self._algorithm and not shared else self._sha256
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, batch: list[bytes]) -> None:
        for data in batch:
            for piece in self._decoder.feed(data) if self._decoder else (memoryview(data),):
                self._size_bytes += len(piece)
                if self._size_bytes > self._expected_bytes:
                    raise self._too_long()
                self._md5.update(piece)
                if self._sha256 is not None:
                    self._sha256.update(piece)
                if self._checksum is not None and self._checksum is not self._sha256:
                    self._checksum.update(piece)
                while piece:
                    piece = piece[os.write(self._file, piece) :]

    def finish(self) -> Received:
        if self._decoder is not None:
            self._decoder.finish()
        if self._allowed_bytes is not None:
            if self._size_bytes < self._allowed_bytes[0]:
                text = "Your proposed upload is smaller than the minimum allowed size"
                raise AwsError("EntityTooSmall", text)
        elif self._size_bytes != self._expected_bytes:
            raise AwsError(
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP header.",
            )
        if self._sha256 is not None and self._sha256.hexdigest() != self._promised.lower():
            raise AwsError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        md5 = self._md5.digest()
        if self._content_md5 is not None and self._content_md5 != checksums.encoded(md5):
            raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
        return Received(self._size_bytes, md5, self._checked())

    def _too_long(self) -> AwsError:
        if self._allowed_bytes is not None:
            return AwsError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        return AwsError("IncompleteBody", "The body is longer than its headers promise.")

    def close(self) -> None:
        os.close(self._file)

    def _checked(self) -> dict[str, str]:
        if self._algorithm is None or self._checksum is None:
            return {}
        name = f"{checksums.HEADER_PREFIX}{self._algorithm}"
        value = checksums.encoded(self._checksum.digest())
        claimed = self._decoder.trailers.get(name) if self._decoder and not self._claimed else self._claimed
        if claimed is not None and claimed != value:
            text = f"The {self._algorithm.upper()} you specified did not match the calculated checksum."
            raise AwsError("BadDigest", text)
        return {name: value}


def _decoder(call: Call, promised: str) -> ChunkDecoder | None:
    if promised == UNSIGNED_PAYLOAD or _HEX_HASH.fullmatch(promised):
        return None
    if promised == "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
        return ChunkDecoder(None)
    key = call.emulator.keys.get(call.access_key_id)
    if promised.removesuffix("-TRAILER") == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" and call.signed and key:
        return ChunkDecoder(ChunkSignatures(call.signed, key.secret_access_key))
    raise AwsError(
        "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a SHA-256 or STREAMING-…."
    )


def _expected_bytes(get: Callable[[str], str | None], chunked: bool) -> int:
    text = get("x-amz-decoded-content-length") if chunked else get("Content-Length")
    if text is None:
        raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    if not (text.isascii() and text.isdigit()):
        raise AwsError("InvalidArgument", "The length of the body is not a number.")
    if len(text) > 15 or int(text) > MAX_BODY_BYTES:
        raise AwsError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    return int(text)


def sent_algorithm(get: Callable[[str], str | None]) -> str | None:
    """The checksum that the client sends in a header or trailer, or requests."""
    for algorithm in checksums.ALGORITHMS:
        if get(f"{checksums.HEADER_PREFIX}{algorithm}") is not None:
            return algorithm
    trailer = (get("x-amz-trailer") or "").strip().lower().removeprefix(checksums.HEADER_PREFIX)
    wanted = (get("x-amz-sdk-checksum-algorithm") or "").strip().lower()
    for name in (trailer, wanted):
        if name in checksums.ALGORITHMS:
            return name
        if name:
            raise AwsError("InvalidRequest", f"Checksum algorithm {name} is not supported.")
    return None
