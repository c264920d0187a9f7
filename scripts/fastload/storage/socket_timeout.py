"""Time-outs of blocking sockets, enforced by the kernel."""

from __future__ import annotations

import socket
import struct


def limit_waits(plain: socket.socket, timeout_s: float) -> None:
    """Let the kernel end a wait after `timeout_s`. Unlike Python's time-out this keeps the socket blocking,
    so that one call can wait for a whole segment.
    """
    plain.settimeout(None)
    span = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
