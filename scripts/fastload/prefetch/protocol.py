"""The protocol between workers and the prefetching process: a Unix socket in the abstract namespace.

Such a socket has no file that could stay behind, and is only seen inside the container. The process greets
with a JSON document and a descriptor of the memory, then says line by line what has landed:

    landed 0 17        pieces 0 and 17 are in memory
    complete           all of them, and every checksum that the store keeps was right
    failed <reason>    nothing more will come

The worker says `{"world": 4}` first and `done` when it needs the memory no longer.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import struct
from typing import Any

from fastload.errors import StreamError

# Names what belongs together: every process that the first one starts inherits it.
SESSION_VARIABLE = "FASTLOAD_SESSION"
_HEAD = struct.Struct("<Q")
_CREDENTIALS = struct.Struct("3i")


def begin_session() -> str:
    """The name of this process's session, which all that it starts inherit; made where there is none."""
    return os.environ.setdefault(SESSION_VARIABLE, secrets.token_hex(8))


def address(session: str, request: dict[str, Any]) -> str:
    """The socket's address for one location and its options in one session."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
    return f"\0fastload-{session}-{digest}"


def check_peer(connection: socket.socket) -> None:
    """Raise StreamError if the other end belongs to another user."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(peer)
    if user not in (os.getuid(), 0):
        raise StreamError(f"the prefetching process's socket belongs to another user (uid {user}).")


def send_greeting(connection: socket.socket, document: dict[str, Any], descriptor: int) -> None:
    """A document with a descriptor attached."""
    body = json.dumps(document).encode()
    socket.send_fds(connection, [_HEAD.pack(len(body))], [descriptor])
    connection.sendall(body)


def receive_greeting(connection: socket.socket) -> tuple[dict[str, Any], int]:
    """The document and the descriptor. Raises ConnectionError if the process has ended."""
    head, descriptors, _, _ = socket.recv_fds(connection, _HEAD.size, 1)
    if len(head) < _HEAD.size or not descriptors:
        raise ConnectionError("the prefetching process ended before it had read what the location holds")
    (length,) = _HEAD.unpack(head)
    body = bytearray(length)
    view = memoryview(body)
    while len(view):
        taken = connection.recv_into(view)
        if not taken:
            os.close(descriptors[0])
            raise ConnectionError("the prefetching process ended while it was greeting")
        view = view[taken:]
    document: dict[str, Any] = json.loads(body)
    return document, descriptors[0]
