"""An S3 server that misbehaves on order, on a thread of the test process."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BUCKET = "bucket"


@dataclass
class Fault:
    """Something done to the next `times` GETs (or PUTs) whose key contains `key`.

    kind: reset, truncate (close early), hang up (close before answering), stall (send half, then nothing),
    throttle (503), error (500), corrupt (flip one bit), denied (403 with the store's `denial` as code; no
    body if that is empty, as for a HEAD).
    """

    kind: str
    key: str = ".chunk"
    times: int = 1
    method: str = "GET"


@dataclass
class HostileStore:
    """Objects in memory, faults to come, and what was asked."""

    url: str
    objects: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    page_size: int = 1000
    denial: str = "AccessDenied"
    checksums: dict[str, dict[str, str]] = field(default_factory=dict)
    """Headers with the checksum of a whole object, by key."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_fault(self, method: str, key: str) -> str:
        """The fault that hits this request, or an empty string."""
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and fault.key in key:
                    fault.times -= 1
                    return fault.kind
        return ""

    def asked(self, method: str, part: str = "") -> list[str]:
        """Keys of the requests so far."""
        return [key for verb, key, _ in self.requests if verb == method and part in key]


@contextmanager
def hostile_store(monkeypatch: pytest.MonkeyPatch, tls: Path | None = None) -> Iterator[HostileStore]:
    """Run the server and point the AWS variables at it; over TLS with `tls`, a folder for a certificate."""
    server = _QuietServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self_signed(tls))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(tls / "server.pem"))
    store = HostileStore(f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass.store = store  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    try:
        yield store
    finally:
        store.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(folder: Path) -> Path:
    """A certificate and key for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


class _QuietServer(ThreadingHTTPServer):
    """A client that hangs up is what is being tested, not worth a traceback."""

    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: HostileStore

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_PUT(self) -> None:
        key = self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) < int(self.headers["Content-Length"]):  # an object is there whole or not at all
            self.close_connection = True
            return None
        kind = self.store.take_fault("PUT", key)
        if kind == "throttle":
            return self._error(503, "SlowDown")
        if kind == "denied":
            return self._error(403, self.store.denial)
        self.store.objects[key] = body
        return self._answer(200, b"")

    def do_HEAD(self) -> None:
        key = self._note()
        if key not in self.store.objects:
            return self._error(404, "NoSuchKey")
        self.send_response(200)
        for name, value in self.store.checksums.get(key, {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.store.objects[key])))
        return self.end_headers()

    def do_GET(self) -> None:
        key = self._note()
        if not key:
            return self._list()
        kind = self.store.take_fault("GET", key)
        if kind == "hang up":
            self.close_connection = True
            return None
        if kind == "denied":
            return self._error(403, self.store.denial)
        if kind in ("throttle", "error"):
            return self._error(*((503, "SlowDown") if kind == "throttle" else (500, "InternalError")))
        if key not in self.store.objects:
            return self._error(404, "NoSuchKey")
        if self.headers.get("If-Match", self._etag(key)) != self._etag(key):
            return self._error(412, "PreconditionFailed")
        data, status, extra = self.store.objects[key], 200, {}
        if span := self.headers.get("Range"):
            start, stop = (int(number) for number in span.removeprefix("bytes=").split("-"))
            extra["Content-Range"] = f"bytes {start}-{min(stop, len(data) - 1)}/{len(data)}"
            data, status = data[start : stop + 1], 206
        return self._send_data(kind, data, status, extra)

    def _send_data(self, kind: str, data: bytes, status: int, extra: dict[str, str]) -> None:
        if kind == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if not kind or kind == "corrupt":
            return self._answer(status, data, extra)
        self.send_response(status)
        for name, value in {**extra, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True
        if kind == "stall":
            self.store.released.wait()
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return None

    def _list(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        prefix, after = query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]
        keys = sorted(key for key in self.store.objects if key.startswith(prefix) and key > after)
        page, more = keys[: self.store.page_size], len(keys) > self.store.page_size
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.store.objects[key])}</Size>"
            f"<ETag>{escape(self._etag(key))}</ETag></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        self._answer(200, f'<ListBucketResult xmlns="{space}">{items}{token}</ListBucketResult>'.encode())

    def _etag(self, key: str) -> str:
        return f'"{hash(self.store.objects[key]):x}"'

    def _note(self) -> str:
        key = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").removeprefix("/")
        self.store.requests.append((self.command, key, self.headers.get("Range", "")))
        return key

    def _error(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>on order</Message></Error>" if code else ""
        self._answer(status, body.encode())

    def _answer(self, status: int, body: bytes, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(extra or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
