"""TLS: every byte right, a bad certificate refused, and the interpreter needed once a read."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fastload
from fastload.errors import StorageError, TransientError
from fastload.storage.http_connection import Endpoint, HttpConnection
from fastload.storage.tls import TlsSocket, openssl, secure, secure_by_python
from tests.fastload.hostile import Fault, HostileStore, hostile_store, self_signed

Secure = Callable[[socket.socket, str], "TlsSocket | ssl.SSLSocket"]
both_ways = pytest.mark.parametrize("way", [secure, secure_by_python])


@pytest.fixture
def tls_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HostileStore]:
    """A well-behaved store over TLS whose certificate is trusted and names 127.0.0.1 only."""
    with hostile_store(monkeypatch, tls=tmp_path) as store:
        yield store


def endpoint(store: HostileStore, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(host, int(store.url.rpartition(":")[2]), tls=True)


@both_ways
@pytest.mark.parametrize("size_bytes", [1, 4096, 4097, 16 << 10, (3 << 20) + 5])
def test_bodies_of_every_length_follow_each_other(
    tls_store: HostileStore, way: Secure, size_bytes: int
) -> None:
    tls_store.objects["k"] = bytes(index % 251 for index in range(size_bytes))
    connection = HttpConnection(endpoint(tls_store), way)
    for _ in range(3):
        head = connection.request("GET", "/bucket/k", {})
        assert connection.read_body(head) == tls_store.objects["k"]
    connection.close()


@both_ways
def test_a_body_is_sent_whole(tls_store: HostileStore, way: Secure) -> None:
    body = bytes(range(256)) * 5000
    connection = HttpConnection(endpoint(tls_store), way)
    for data in (body, memoryview(bytearray(body))):
        connection.read_body(connection.request("PUT", "/bucket/k", {}, data))
        assert tls_store.objects.pop("k") == body
    connection.close()


@both_ways
def test_a_certificate_for_another_host_is_refused_at_once(tls_store: HostileStore, way: Secure) -> None:
    with pytest.raises(StorageError, match=r"certificate of localhost is not trusted: .*mismatch"):
        HttpConnection(endpoint(tls_store, "localhost"), way).request("GET", "/bucket/k", {})


@both_ways
def test_a_certificate_that_nobody_trusts_is_refused_at_once(
    tls_store: HostileStore, way: Secure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed(other)))
    with pytest.raises(StorageError, match=r"127\.0\.0\.1 is not trusted: .*self.signed.*SSL_CERT_FILE"):
        HttpConnection(endpoint(tls_store), way).request("GET", "/bucket/k", {})


@both_ways
def test_a_stall_is_noticed(tls_store: HostileStore, way: Secure) -> None:
    tls_store.objects["k"] = bytes(100)
    tls_store.faults = [Fault("stall", key="k")]
    connection = HttpConnection(endpoint(tls_store), way)
    with pytest.raises(TransientError, match="stalled for 3 s"):
        connection.read_body(connection.request("GET", "/bucket/k", {}))


def test_a_stream_tells_of_the_certificate(tls_store: HostileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", tls_store.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(StorageError, match="certificate of localhost is not trusted"):
        fastload.open_stream("s3://bucket/shards").tensors()
    assert tls_store.requests == []


def test_a_server_that_speaks_no_tls_is_an_ordinary_failure(store: HostileStore) -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:\d+ broke"):
        HttpConnection(endpoint(store)).request("GET", "/bucket/k", {})


def test_a_long_read_takes_one_call(tls_store: HostileStore) -> None:
    """What the whole module is for: Python's ssl needs 256 calls for this."""
    tls_store.objects["k"] = bytes(4 << 20)
    connected = connect(tls_store)
    connected.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: x\r\n\r\n")
    head = connected.recv(64 << 10)
    early_bytes = len(head) - head.index(b"\r\n\r\n") - 4
    view = memoryview(bytearray((4 << 20) - early_bytes))
    assert connected.recv_into(view) == len(view)
    connected.close()


def test_an_interrupted_wait_goes_on(tls_store: HostileStore) -> None:
    """A signal ends a wait that has a time-out; it must not pass for a stall."""
    tls_store.objects["k"] = b"x" * 1000
    tls_store.faults = [Fault("stall", key="k")]
    connected = connect(tls_store, timeout_s=30)
    connected.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: x\r\n\r\n")
    noticed = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: noticed.set())
    waiting = threading.get_ident()

    def interrupt() -> None:
        signal.pthread_kill(waiting, signal.SIGUSR1)
        tls_store.released.set()  # the server closes

    later = threading.Timer(0.3, interrupt)
    try:
        received = connected.recv(64 << 10)
        while not received.endswith(b"x" * 500):
            received += connected.recv(64 << 10)
        later.start()
        with pytest.raises(OSError, match=r"eof|ended early"):
            connected.recv(64 << 10)
    finally:
        later.join()
        signal.signal(signal.SIGUSR1, before)
    assert noticed.is_set()
    connected.close()


def connect(store: HostileStore, timeout_s: int = 5) -> TlsSocket:
    library = openssl()
    if library is None:
        pytest.skip("this Python does not show its OpenSSL")
    plain = socket.create_connection(("127.0.0.1", endpoint(store).port), timeout_s)
    return TlsSocket(library, plain, "127.0.0.1")
