"""Sends an object's bytes from files to the socket by sendfile, in constant memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

from aiohttp import web

from ...network import Transfer
from ...settings import FaultSpec
from .records import Extent
from .transfer_faults import close_connection, reset_connection

# One step of a shaped transfer: at 90 MB/s a wake-up every 6 ms.
_STEP_BYTES = 512 << 10
# With more extents than this, a GET opens their files one at a time.
_MAX_OPEN_FILES = 128

Piece = tuple[str, int, int]  # file id, offset in the file, bytes


def pieces(extents: Iterable[Extent], start: int, size_bytes: int) -> list[Piece]:
    """The pieces that contain the bytes starting at `start`."""
    found: list[Piece] = []
    for extent in extents:
        if size_bytes <= 0:
            break
        if start < extent.size_bytes:
            taken = min(size_bytes, extent.size_bytes - start)
            found.append((extent.file_id, extent.offset + start, taken))
            size_bytes -= taken
            start = 0
        else:
            start -= extent.size_bytes
    return found


async def send(
    request: web.BaseRequest,
    response: web.StreamResponse,
    wanted: list[Piece],
    path: Callable[[str], Path],
    transfer: Transfer,
    broken: FaultSpec | None = None,
) -> web.StreamResponse:
    """Send the headers, then the pieces. `broken` is the injected fault of this body, if any."""
    with ExitStack() as files:
        # Opened before any await: a DELETE or an overwrite does not affect this reader.
        opened = [
            (files.enter_context(_open(path(name))) if number < _MAX_OPEN_FILES else None, name, offset, size)
            for number, (name, offset, size) in enumerate(wanted)
        ]
        await transfer.begin()
        if broken is not None and broken.kind == "slow_first_byte":
            await asyncio.sleep(broken.delay_s)
            broken = None
        response.content_length = sum(size for _, _, size in wanted)
        await response.prepare(request)
        body = _Body(request, transfer, broken)
        for file, name, offset, size in opened:
            with ExitStack() as late:
                await body.send(file or late.enter_context(_open(path(name))), offset, size)
        await response.write_eof()
    return response


class _Body:
    def __init__(self, request: web.BaseRequest, transfer: Transfer, broken: FaultSpec | None) -> None:
        self._request = request
        self._transfer = transfer
        self._broken = broken
        self._sent_bytes = 0

    async def send(self, file: FileIO, offset: int, size_bytes: int) -> None:
        end = offset + size_bytes
        while offset < end:
            step = end - offset
            if self._transfer.shaped:
                step = min(step, _STEP_BYTES)
            if self._broken is not None:
                step = min(step, max(1, self._broken.after_bytes - self._sent_bytes))
            await self._transfer.admit(step)
            if self._broken is not None and self._sent_bytes == self._broken.after_bytes:
                await self._strike(self._broken, file, offset)
                step = 1
            else:
                await self._sendfile(file, offset, step)
            offset += step
            self._sent_bytes += step

    async def _strike(self, broken: FaultSpec, file: FileIO, offset: int) -> None:
        if broken.kind == "connection_reset":
            reset_connection(self._request)
        if broken.kind == "truncated_body":
            close_connection(self._request)
        flipped = os.pread(file.fileno(), 1, offset)[0] ^ 1
        if self._request.transport is None:
            raise ConnectionResetError("the client has gone")
        self._request.transport.write(bytes([flipped]))
        self._broken = None

    async def _sendfile(self, file: FileIO, offset: int, size_bytes: int) -> None:
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        loop = asyncio.get_running_loop()
        sent_bytes = await loop.sendfile(transport, file, offset, size_bytes)
        if sent_bytes != size_bytes:
            # The file is shorter than its record, so the response must not look complete.
            close_connection(self._request)


def _open(path: Path) -> FileIO:
    return FileIO(path, "r")
