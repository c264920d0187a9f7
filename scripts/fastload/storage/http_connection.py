"""One HTTP/1.1 connection that reads response bodies into the caller's memory.

http.client parses headers with the e-mail package and returns to Python after every packet, each time waiting
for the interpreter lock, which is mostly held during imports.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from fastload.errors import StorageError, TransientError

if TYPE_CHECKING:
    import ssl

_HEAD_BYTES = 64 << 10
# Without it a thread wakes up for every packet, which takes CPU time from the import of the framework.
_WAKE_BYTES = 1 << 20
_SEND_BYTES = 1 << 20
_MOST_INTERIM_RESPONSES = 8
# Errors of reading a response other than StorageError: of the network, the head, the chunks.
_FAULTS = (OSError, EOFError, ValueError)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one wait may take.

    A connection, a TLS handshake and a response's head must each be complete after `first_wait_s`; after a
    stall that doubles up to `longest_wait_s`, so that a slow store works eventually. A body must deliver
    `least_bytes` in every such interval, or end, and arrive at `least_bytes_per_s` overall, plus `grace_s`.
    The response to an upload may take longer, because the store must save it first.
    """

    first_wait_s: float = 3.0
    longest_wait_s: float = 24.0
    upload_wait_s: float = 30.0
    least_bytes: int = 64 << 10
    grace_s: float = 60.0
    least_bytes_per_s: int = 8 << 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect."""

    host: str
    port: int
    tls: bool

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers (names in lower case); `length_bytes` is None for a chunked or unbounded body."""

    status: int
    headers: Mapping[str, str]
    length_bytes: int | None


class HttpConnection:
    """A keep-alive connection, opened on the first request. Not safe for use by two threads.

    Every failure of the network is a TransientError, after which the connection is closed; the next request
    opens another one. Only `interrupt` may be called from another thread.
    """

    def __init__(self, endpoint: Endpoint, limits: Limits | None = None) -> None:
        self._endpoint = endpoint
        self._limits = limits or Limits()
        self._wait_s = self._limits.first_wait_s
        self._socket: socket.socket | None = None
        self._waitall = 0
        self._early = memoryview(b"")
        self._unread_bytes = 0

    def close(self) -> None:
        """Close the connection; a later request opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def interrupt(self) -> None:
        """End a wait of another thread, which gets a TransientError."""
        connection = self._socket
        if connection is not None:
            try:
                # Not SSLSocket's own, which changes the object under the thread that reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:  # closed meanwhile
                return

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | memoryview = b""
    ) -> ResponseHead:
        """Send a request, read the response's head. The body must then be read or the connection closed."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._endpoint.host_header}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method in ("PUT", "POST"):
            lines.append(f"Content-Length: {len(body)}")
        head = _encoded(lines)
        wait_s = max(self._limits.upload_wait_s if body else 0.0, self._wait_s)
        try:
            connection = self._socket or self._connect()
            self._set_wait(connection, wait_s)
            self._send(connection, head, wait_s)
            self._send(connection, body, wait_s)
            response = self._read_head(connection, wait_s)
            self._set_wait(connection, self._wait_s)
        except _FAULTS as error:
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
        wait = _Wait(self._limits, self._wait_s, len(view))
        # The body's end must be waited for with no such mark: nothing may follow it.
        calm = len(view) - max(0, _WAKE_BYTES - self._unread_bytes)
        if self._waitall and filled < calm:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _WAKE_BYTES)
            filled = self._receive(connection, view, filled, calm, wait)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._receive(connection, view, filled, len(view), wait)

    def read_body(self, head: ResponseHead, most_bytes: int) -> bytes:
        """The whole body of a small response, with any encoding of its length.

        Raises StorageError for one of more than `most_bytes`, which is not read.
        """
        if head.length_bytes is not None:
            if head.length_bytes > most_bytes:
                self._too_long(most_bytes)
            data = bytearray(head.length_bytes)
            self.fill(memoryview(data))
            return bytes(data)
        wait = _Wait(self._limits, self._wait_s, most_bytes)
        try:
            if "chunked" in head.headers.get("transfer-encoding", "").lower():
                return self._read_chunked(most_bytes, wait)
            return self._read_to_end(most_bytes, wait)
        except _FAULTS as error:
            raise self._broken(error) from error

    def _receive(
        self, connection: socket.socket, view: memoryview, filled: int, stop: int, wait: _Wait
    ) -> int:
        try:
            while filled < stop:
                taken = connection.recv_into(view[filled:stop], 0, self._waitall)
                if taken == 0:
                    raise EOFError(f"the body ended {stop - filled} bytes early")
                filled += taken
                if filled < stop:
                    wait.moved(taken)
        except (OSError, EOFError) as error:
            raise self._broken(error) from error
        return filled

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._endpoint.host, self._endpoint.port), self._wait_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._early = memoryview(b"")
        if self._endpoint.tls:
            self._socket = secure(plain, self._endpoint.host)
        else:
            self._waitall = socket.MSG_WAITALL
            self._socket = plain
        return self._socket

    def _set_wait(self, connection: socket.socket, wait_s: float) -> None:
        """Let the kernel end a wait. Unlike Python's time-out that keeps a plain socket blocking, so that one
        call can wait for a whole segment, and bounds the call as a whole.
        """
        if self._endpoint.tls:
            connection.settimeout(wait_s)
            return
        connection.settimeout(None)
        span = struct.pack("ll", int(wait_s), int(wait_s % 1 * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)

    def _send(self, connection: socket.socket, data: bytes | memoryview, wait_s: float) -> None:
        left = memoryview(data)
        wait = _Wait(self._limits, wait_s, len(left))
        while len(left):
            sent = connection.send(left[:_SEND_BYTES])
            left = left[sent:]
            if len(left):
                wait.moved(sent)

    def _read_head(self, connection: socket.socket, wait_s: float) -> ResponseHead:
        deadline_s = time.monotonic() + wait_s
        for _ in range(_MOST_INTERIM_RESPONSES):
            received = bytearray(self._early)
            while (end := received.find(b"\r\n\r\n")) < 0:
                if len(received) > _HEAD_BYTES:
                    raise ValueError("the response head is longer than 64 KiB")
                if time.monotonic() > deadline_s:
                    raise _TooSlowError(f"sent no whole response head within {wait_s:g} s")
                piece = connection.recv(_HEAD_BYTES)
                if not piece:
                    raise EOFError("the server closed the connection before answering")
                received += piece
            self._early = memoryview(bytes(received[end + 4 :]))
            head = _parsed_head(bytes(received[:end]))
            if head.status >= 200:
                return head
        raise ValueError("the server sends interim responses and no other")

    def _read_chunked(self, most_bytes: int, wait: _Wait) -> bytes:
        body, buffer = bytearray(), bytearray(self._early)

        def line() -> bytes:
            while (end := buffer.find(b"\r\n")) < 0:
                if len(buffer) > _HEAD_BYTES:
                    raise ValueError("a chunk's first line is longer than 64 KiB")
                buffer.extend(self._more(wait))
            text = bytes(buffer[:end])
            del buffer[: end + 2]
            return text

        while size_bytes := _hexadecimal(line().partition(b";")[0].strip()):
            if len(body) + size_bytes > most_bytes:
                self._too_long(most_bytes)
            while len(buffer) < size_bytes + 2:
                buffer.extend(self._more(wait))
            body += buffer[:size_bytes]
            if buffer[size_bytes : size_bytes + 2] != b"\r\n":
                raise ValueError("a chunk is longer than its first line says")
            del buffer[: size_bytes + 2]
        trailer_bytes = 0
        while text := line():
            trailer_bytes += len(text)
            if trailer_bytes > _HEAD_BYTES:
                raise ValueError("the response's trailer is longer than 64 KiB")
        self._early = memoryview(bytes(buffer))
        return bytes(body)

    def _read_to_end(self, most_bytes: int, wait: _Wait) -> bytes:
        """A body that the server ends by closing."""
        body = bytearray(self._early)
        while True:
            try:
                body += self._more(wait)
            except EOFError:
                self.close()
                return bytes(body)
            if len(body) > most_bytes:
                self._too_long(most_bytes)

    def _more(self, wait: _Wait) -> bytes:
        piece = self._open_socket().recv(_HEAD_BYTES)
        if not piece:
            raise EOFError("the connection ended inside a body")
        wait.moved(len(piece))
        return piece

    def _too_long(self, most_bytes: int) -> NoReturn:
        self.close()
        raise StorageError(
            f"{self._endpoint.host_header} answers with more than {most_bytes} bytes, which is not a valid "
            "response to this request; check that it is the right store."
        )

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise TransientError(f"the connection to {self._endpoint.host_header} is closed")
        return self._socket

    def _broken(self, error: Exception) -> TransientError:
        self.close()
        if isinstance(error, (BlockingIOError, TimeoutError)):
            bound = f": it {error}" if isinstance(error, _TooSlowError) else f" for {self._wait_s:g} s"
            reason = f"stalled{bound}"
            self._wait_s = min(self._wait_s * 2, self._limits.longest_wait_s)
        else:
            reason = f"broke: {error}"
        return TransientError(f"the connection to {self._endpoint.host_header} {reason}")


class _TooSlowError(TimeoutError):
    """A limit was exceeded; the text says which."""


class _Wait:
    """Ends a transfer of `size_bytes` that is too slow. Raises _TooSlowError."""

    def __init__(self, limits: Limits, span_s: float, size_bytes: int) -> None:
        self._least_bytes, self._span_s = limits.least_bytes, span_s
        self._whole_s = limits.grace_s + size_bytes / limits.least_bytes_per_s
        self._began_s = self._span_began_s = time.monotonic()
        self._span_bytes = 0

    def moved(self, count: int) -> None:
        """More bytes have arrived, and the transfer is not complete."""
        self._span_bytes += count
        now_s = time.monotonic()
        if now_s - self._span_began_s >= self._span_s:
            if self._span_bytes < self._least_bytes:
                raise _TooSlowError(f"moved {self._span_bytes} bytes in {self._span_s:g} s")
            self._span_began_s, self._span_bytes = now_s, 0
        if now_s - self._began_s > self._whole_s:
            raise _TooSlowError(f"was not done after {self._whole_s:.0f} s")


def secure(plain: socket.socket, host: str) -> ssl.SSLSocket:
    """Begin TLS on a connected socket, within its time-out; the certificate must be trusted and the host's.

    Trusted is what OpenSSL's defaults say, SSL_CERT_FILE and SSL_CERT_DIR included. Raises StorageError for a
    certificate, OSError for everything else.
    """
    import ssl  # 5 ms that plain HTTP need not pay

    context = _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise StorageError(
            f"the certificate of {host} is not trusted: {error.verify_message}. If your own "
            "authority signed it, set SSL_CERT_FILE to the authority's file."
        ) from error
    except BaseException:
        plain.close()
        raise


@lru_cache(maxsize=8)
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The shared TLS context; OpenSSL reads the two variables itself, they are parameters only for
    the cache.
    """
    import ssl

    return ssl.create_default_context()


def _encoded(lines: list[str]) -> bytes:
    """A request's head. Raises StorageError for a value that would be read as another header."""
    head = "\r\n".join(lines)
    if any(character in line for line in lines for character in "\r\n\0"):
        raise StorageError("a header of the request has a line break; check the AWS_* variables.")
    try:
        return (head + "\r\n\r\n").encode("latin-1")
    except UnicodeEncodeError as error:
        raise StorageError(
            "a header of the request has a character that HTTP does not allow; check the AWS_* variables."
        ) from error


def _parsed_head(head: bytes) -> ResponseHead:
    """Raises ValueError for anything that is not an HTTP/1 response."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = [*status_line.split(" ", 2), ""]
    if not version.startswith("HTTP/1.") or len(status) != 3:
        raise ValueError(f"no HTTP/1.1 response: {status_line[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name == "content-length" and headers.get(name, value) != value:
            raise ValueError("the response has two lengths")
        headers[name] = value
    length = None if "transfer-encoding" in headers else headers.get("content-length")
    return ResponseHead(parse_count(status), headers, None if length is None else parse_count(length))


def parse_count(text: str) -> int:
    """A number from 0 up in ASCII digits, as long as a file can have bytes. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ValueError(f"{text[:40]!r} is not a count")
    return int(text)


def _hexadecimal(digits: bytes) -> int:
    if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
        raise ValueError(f"{digits[:40]!r} is not a chunk's length")
    return int(digits, 16)
