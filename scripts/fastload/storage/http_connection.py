"""One HTTP/1.1 connection whose response bodies land where the caller wants them.

http.client works too, but parses headers with the e-mail package and returns to Python after every packet,
each time waiting for an interpreter lock that an import under way holds most of the time.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastload.errors import TransientError

if TYPE_CHECKING:
    import ssl

    from fastload.storage.tls import TlsSocket

_HEAD_BYTES = 64 << 10
# Less than this in a whole timeout is a connection that only pretends to be alive.
_LEAST_PROGRESS_BYTES = 64 << 10
# Without it a thread wakes for every packet, and each waking takes a core from whoever imports the framework.
_WAKE_BYTES = 1 << 20
_FIRST_TIMEOUT_S = 3.0
_LONGEST_TIMEOUT_S = 24.0
# A store answers an upload when it has it safe, which takes longer than the next packet of a download.
_UPLOAD_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect."""

    host: str
    port: int
    tls: bool

    @property
    def host_header(self) -> str:
        usual = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host  # an IPv6 address
        return host if self.port == usual else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers (names in lower case); `length_bytes` is None for a chunked or unbounded body."""

    status: int
    headers: Mapping[str, str]

    @property
    def length_bytes(self) -> int | None:
        length = self.headers.get("content-length")
        return int(length) if length is not None and length.isdigit() else None


class HttpConnection:
    """A keep-alive connection, opened on the first request. Not safe for use by two threads.

    Every failure of the network is a TransientError, after which the connection is closed; the next request
    opens another one. A wait without progress is bounded, a transfer is not; after a stall the bound doubles,
    so that a slow store is not refused for ever. `secure` begins TLS, by default
    `fastload.storage.tls.secure`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        secure: Callable[[socket.socket, str], TlsSocket | ssl.SSLSocket] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._timeout_s = _FIRST_TIMEOUT_S
        self._socket: socket.socket | TlsSocket | None = None
        self._secure = secure
        self._waitall = 0
        self._early = memoryview(b"")
        self._unread_bytes = 0

    def close(self) -> None:
        """Close the connection; a later request opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | memoryview = b""
    ) -> ResponseHead:
        """Send a request, read the response's head. The body must then be read or the connection closed."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._endpoint.host_header}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method in ("PUT", "POST"):
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        try:
            connection = self._socket or self._connect()
            timeout_s = _UPLOAD_TIMEOUT_S if body else self._timeout_s
            if isinstance(connection, socket.socket) and not self._endpoint.tls:
                limit_waits(connection, timeout_s)
            else:
                connection.settimeout(timeout_s)
            connection.sendall(head)
            if body:
                connection.sendall(body)
            response = self._read_head(connection)
        except (OSError, EOFError, ValueError) as error:
            raise self._broken(error) from error
        self._unread_bytes = response.length_bytes or 0
        return response

    def fill(self, view: memoryview) -> None:
        """Fill `view` with exactly len(view) bytes of body."""
        connection = self._open_socket()
        filled = min(len(self._early), len(view))
        if filled:
            view[:filled] = self._early[:filled]
            self._early = self._early[filled:]
        self._unread_bytes -= len(view)
        # The body's end must be waited for with no such mark: nothing may follow it.
        calm = len(view) - max(0, _WAKE_BYTES - self._unread_bytes)
        if self._waitall and filled < calm:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _WAKE_BYTES)
            filled = self._receive(connection, view, filled, calm)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._receive(connection, view, filled, len(view))

    def _receive(
        self, connection: socket.socket | TlsSocket, view: memoryview, filled: int, stop: int
    ) -> int:
        while filled < stop:
            began_s = time.monotonic()
            try:
                taken = connection.recv_into(view[filled:stop], 0, self._waitall)
                if taken == 0:
                    raise EOFError(f"the body ended {stop - filled} bytes early")
                filled += taken
                waited_s = time.monotonic() - began_s
                if filled < stop and taken < _LEAST_PROGRESS_BYTES and waited_s >= self._timeout_s:
                    raise TimeoutError
            except (OSError, EOFError) as error:
                raise self._broken(error) from error
        return filled

    def read_body(self, head: ResponseHead) -> bytes:
        """The whole body of a small response, whichever way its length is given."""
        if head.length_bytes is not None:
            data = bytearray(head.length_bytes)
            self.fill(memoryview(data))
            return bytes(data)
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunked()
        self.close()  # the server ends the body by closing; nothing that matters here comes that way
        return bytes(self._early)

    def _connect(self) -> socket.socket | TlsSocket:
        plain = socket.create_connection((self._endpoint.host, self._endpoint.port), self._timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._endpoint.tls:
            from fastload.storage import tls  # 5 ms that plain HTTP need not pay

            self._socket = (self._secure or tls.secure)(plain, self._endpoint.host)
        else:
            self._waitall = socket.MSG_WAITALL
            self._socket = plain
        self._early = memoryview(b"")
        return self._socket

    def _read_head(self, connection: socket.socket | TlsSocket) -> ResponseHead:
        received = bytearray(self._early)
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > _HEAD_BYTES:
                raise ValueError("the response head is longer than 64 KiB")
            piece = connection.recv(_HEAD_BYTES)
            if not piece:
                raise EOFError("the server closed the connection before answering")
            received += piece
        self._early = memoryview(bytes(received[end + 4 :]))
        status_line, *lines = received[:end].decode("latin-1").split("\r\n")
        version, status, *_ = status_line.split(" ", 2)
        if not version.startswith("HTTP/1."):
            raise ValueError(f"no HTTP/1.1 response: {status_line[:80]!r}")
        pairs = (line.partition(":") for line in lines)
        return ResponseHead(int(status), {name.strip().lower(): value.strip() for name, _, value in pairs})

    def _read_chunked(self) -> bytes:
        body = bytearray()
        while size := int(self._read_line().partition(b";")[0], 16):
            piece = bytearray(size + 2)
            self.fill(memoryview(piece))
            body += piece[:-2]
        while self._read_line():
            pass
        return bytes(body)

    def _read_line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\r\n"):
            letter = bytearray(1)
            self.fill(memoryview(letter))
            line += letter
        return bytes(line[:-2])

    def _open_socket(self) -> socket.socket | TlsSocket:
        if self._socket is None:
            raise TransientError(f"the connection to {self._endpoint.host_header} is closed")
        return self._socket

    def _broken(self, error: Exception) -> TransientError:
        self.close()
        if isinstance(error, (BlockingIOError, TimeoutError)):
            reason = f"stalled for {self._timeout_s:g} s"
            self._timeout_s = min(self._timeout_s * 2, _LONGEST_TIMEOUT_S)
        else:
            reason = f"broke: {error}"
        return TransientError(f"the connection to {self._endpoint.host_header} {reason}")


def limit_waits(plain: socket.socket, timeout_s: float) -> None:
    """Let the kernel end a wait after `timeout_s`. Unlike Python's time-out this keeps the socket blocking,
    so that one call can wait for a whole segment.
    """
    plain.settimeout(None)
    span = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
