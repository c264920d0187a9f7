"""TLS: every byte right, a bad certificate refused at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fastload
from fastload.errors import StorageError, TransientError
from fastload.storage.http_connection import Endpoint, HttpConnection, Limits
from tests.fastload.hostile import Fault, HostileStore, hostile_store, self_signed


@pytest.fixture
def tls_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HostileStore]:
    """A well-behaved store over TLS whose certificate is trusted and names 127.0.0.1 only."""
    with hostile_store(monkeypatch, tls=tmp_path) as store:
        yield store


def endpoint(store: HostileStore, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(host, int(store.url.rpartition(":")[2]), tls=True)


@pytest.mark.parametrize("size_bytes", [1, 4096, 4097, 16 << 10, (3 << 20) + 5])
def test_bodies_of_every_length_follow_each_other(tls_store: HostileStore, size_bytes: int) -> None:
    tls_store.objects["k"] = bytes(index % 251 for index in range(size_bytes))
    connection = HttpConnection(endpoint(tls_store))
    for _ in range(3):
        head = connection.request("GET", "/bucket/k", {})
        assert connection.read_body(head, 8 << 20) == tls_store.objects["k"]
    connection.close()


def test_a_body_is_sent_whole(tls_store: HostileStore) -> None:
    body = bytes(range(256)) * 5000
    connection = HttpConnection(endpoint(tls_store))
    for data in (body, memoryview(bytearray(body))):
        connection.read_body(connection.request("PUT", "/bucket/k", {}, data), 100)
        assert tls_store.objects.pop("k") == body
    connection.close()


def test_a_certificate_for_another_host_is_refused_at_once(tls_store: HostileStore) -> None:
    with pytest.raises(StorageError, match=r"certificate of localhost is not trusted: .*mismatch"):
        HttpConnection(endpoint(tls_store, "localhost")).request("GET", "/bucket/k", {})


def test_a_certificate_that_nobody_trusts_is_refused_at_once(
    tls_store: HostileStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed(other)))
    with pytest.raises(StorageError, match=r"127\.0\.0\.1 is not trusted: .*self.signed.*SSL_CERT_FILE"):
        HttpConnection(endpoint(tls_store)).request("GET", "/bucket/k", {})


def test_a_stall_is_noticed(tls_store: HostileStore) -> None:
    tls_store.objects["k"] = bytes(100)
    tls_store.faults = [Fault("stall", key="k")]
    connection = HttpConnection(endpoint(tls_store), Limits(first_wait_s=1))
    with pytest.raises(TransientError, match="stalled for 1 s"):
        connection.read_body(connection.request("GET", "/bucket/k", {}), 100)


def test_a_stream_tells_of_the_certificate(tls_store: HostileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", tls_store.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(StorageError, match="certificate of localhost is not trusted"):
        fastload.open_stream("s3://bucket/shards").tensors()
    assert tls_store.requests == []


def test_a_server_that_speaks_no_tls_is_an_ordinary_failure(store: HostileStore) -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:\d+ broke"):
        HttpConnection(endpoint(store)).request("GET", "/bucket/k", {})
