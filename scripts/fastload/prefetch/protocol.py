"""The protocol between workers and the prefetching process: a Unix socket in the abstract namespace.

Such a socket has no file that could remain, and is visible only inside the container. The process first sends
a JSON document and a descriptor of the memory, then reports progress in lines:

    landed 0 17        pieces 0 and 17 are in memory
    complete           all pieces are in memory, and all checksums that the store has are correct
    failed <reason>    the load has failed

The worker first sends `{"world": 4}`, and `done` when it no longer needs the memory.
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

# Environment variable with the session's name, inherited by all child processes.
SESSION_VARIABLE = "FASTLOAD_SESSION"
_HEAD = struct.Struct("<Q")
_CREDENTIALS = struct.Struct("3i")


def begin_session() -> str:
    """The name of this process's session, inherited by its child processes; created if there is none."""
    return os.environ.setdefault(SESSION_VARIABLE, secrets.token_hex(8))


def address(session: str, request: dict[str, Any]) -> str:
    """The socket address for a location and its options in a session."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
    return f"\0fastload-{session}-{digest}"


def check_peer(connection: socket.socket) -> None:
    """Raise StreamError if the other end belongs to another user."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(peer)
    if user not in (os.getuid(), 0):
        raise StreamError(f"the prefetching process's socket belongs to another user (uid {user}).")


def send_greeting(connection: socket.socket, document: dict[str, Any], descriptor: int) -> None:
    """Send a document with an attached descriptor."""
    body = json.dumps(document).encode()
    socket.send_fds(connection, [_HEAD.pack(len(body))], [descriptor])
    connection.sendall(body)


def receive_greeting(connection: socket.socket) -> tuple[dict[str, Any], int]:
    """Receive the document and the descriptor. Raises ConnectionError if the process has ended."""
    head, descriptors, _, _ = socket.recv_fds(connection, _HEAD.size, 1)
    if len(head) < _HEAD.size or not descriptors:
        raise ConnectionError("the prefetching process ended before it had read the contents of the location")
    (length,) = _HEAD.unpack(head)
    body = bytearray(length)
    view = memoryview(body)
    while len(view):
        taken = connection.recv_into(view)
        if not taken:
            os.close(descriptors[0])
            raise ConnectionError("the prefetching process ended during the greeting")
        view = view[taken:]
    document: dict[str, Any] = json.loads(body)
    return document, descriptors[0]
