"""One HTTP/1.1 connection whose response bodies land where the caller wants them.

http.client works too, but parses headers with the e-mail package and returns to Python after every packet;
with the interpreter lock contended by an import that costs a tenth of the bandwidth (docs/performance.md).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastload.checksums import crc32c
from fastload.errors import TransientError

if TYPE_CHECKING:
    import ssl

# One megabyte stays in a core's second-level cache between being received and being summed.
_SEGMENT_BYTES = 1 << 20
_HEAD_BYTES = 64 << 10
# Less than this in a whole timeout is a connection that only pretends to be alive.
_LEAST_PROGRESS_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect."""

    host: str
    port: int
    tls: bool

    @property
    def host_header(self) -> str:
        usual = 443 if self.tls else 80
        return self.host if self.port == usual else f"{self.host}:{self.port}"


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
    opens another one. `timeout_s` bounds a wait without progress, not a whole transfer.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._waitall = 0
        self._early = memoryview(b"")

    def close(self) -> None:
        """Close the connection; a later request opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def set_timeout(self, timeout_s: float) -> None:
        """Change how long a wait without progress may last; takes effect with the next connection."""
        self._timeout_s = timeout_s

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
            connection.sendall(head)
            if body:
                connection.sendall(body)
            return self._read_head(connection)
        except (OSError, ValueError) as error:
            raise self._broken(error) from error

    def read_into(self, view: memoryview) -> int:
        """Fill `view` with exactly len(view) bytes of body; returns their CRC32C, summed as they arrive."""
        connection = self._open_socket()
        checksum, filled = 0, 0
        while filled < len(view):
            if self._early:
                taken = min(len(self._early), len(view) - filled)
                view[filled : filled + taken] = self._early[:taken]
                self._early = self._early[taken:]
            else:
                wanted = min(_SEGMENT_BYTES, len(view) - filled)
                try:
                    taken = connection.recv_into(view[filled : filled + wanted], wanted, self._waitall)
                except OSError as error:
                    raise self._broken(error) from error
                if taken == 0:
                    raise self._broken(EOFError(f"the body ended after {filled} of {len(view)} bytes"))
            checksum = crc32c(view[filled : filled + taken], checksum)
            filled += taken
        return checksum

    def read_body(self, head: ResponseHead) -> bytes:
        """The whole body of a small response, whichever way its length is given."""
        if head.length_bytes is not None:
            data = bytearray(head.length_bytes)
            self.read_into(memoryview(data))
            return bytes(data)
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunked()
        self.close()  # the server ends the body by closing; nothing that matters here comes that way
        return bytes(self._early)

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._endpoint.host, self._endpoint.port), self._timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._endpoint.tls:
            self._socket = _tls_context().wrap_socket(plain, server_hostname=self._endpoint.host)
        else:
            # The kernel's own timeout keeps the socket blocking, so that one call can wait for a whole
            # segment.
            plain.settimeout(None)
            span = struct.pack("ll", int(self._timeout_s), int(self._timeout_s % 1 * 1e6))
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
            self._waitall = socket.MSG_WAITALL
            self._socket = plain
        self._early = memoryview(b"")
        return self._socket

    def _read_head(self, connection: socket.socket) -> ResponseHead:
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
            self.read_into(memoryview(piece))
            body += piece[:-2]
        while self._read_line():
            pass
        return bytes(body)

    def _read_line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\r\n"):
            letter = bytearray(1)
            self.read_into(memoryview(letter))
            line += letter
        return bytes(line[:-2])

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise TransientError(f"the connection to {self._endpoint.host_header} is closed")
        return self._socket

    def _broken(self, error: Exception) -> TransientError:
        self.close()
        if isinstance(error, (BlockingIOError, TimeoutError)):
            reason = f"stalled for {self._timeout_s:g} s"
        else:
            reason = f"broke: {error}"
        return TransientError(f"the connection to {self._endpoint.host_header} {reason}")


def _tls_context() -> ssl.SSLContext:
    import ssl  # 10 ms that plain HTTP need not pay

    return ssl.create_default_context()
