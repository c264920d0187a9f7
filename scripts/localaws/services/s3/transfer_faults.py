"""Effects of injected faults on a transfer."""

from __future__ import annotations

import socket
import struct
from typing import NoReturn

from aiohttp import web


def reset_connection(request: web.BaseRequest) -> NoReturn:
    """Abort the connection with RST, like a broken network."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    raise ConnectionResetError("reset on order")


def close_connection(request: web.BaseRequest) -> NoReturn:
    """Close the connection normally although the body is not complete."""
    if request.transport is not None:
        request.transport.close()
    raise ConnectionResetError("truncated on order")
