"""A store that drips, lies or swells: waits end by bounds of ours, and nothing is allocated on its word."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

import fastload
from fastload.errors import FastloadError, StorageError, TransientError
from fastload.storage import retry, s3_store
from fastload.storage.http_connection import Endpoint, HttpConnection, Limits
from fastload.storage.retry import Backoff
from fastload.storage.s3_client import bucket_from_environment
from fastload.storage.s3_store import BucketStore
from fastload.storage.store import open_store, read_range
from tests.fastload.hostile import BUCKET, Fault, HostileStore, self_signed

pytestmark = pytest.mark.timeout(60)

QUICK = Limits(
    first_wait_s=0.3,
    longest_wait_s=0.3,
    upload_wait_s=0.3,
    least_bytes=1000,
    grace_s=1,
    least_bytes_per_s=10**6,
)
_DRIP_S = 0.05
OK = b"HTTP/1.1 200 OK\r\n"

# What is sent for a request; after it, one letter again and again until the client leaves.
Answer = tuple[bytes, bytes]


class Store:
    """A TCP server that answers every request with the next of `answers`, the last one for ever."""

    def __init__(self, *answers: Answer, certificate: Path | None = None, silent: bool = False) -> None:
        self.answers, self.requests = list(answers), list[bytes]()
        self._silent = silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._silent:
                self._stop.wait()
                return
            if self._context is not None:
                connection = stack.enter_context(self._context.wrap_socket(connection, server_side=True))
            while request := connection.recv(65536):
                self.requests.append(request)
                start, drip = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                connection.sendall(start)
                while drip and not self._stop.wait(_DRIP_S):
                    connection.sendall(drip)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Start stores, and point the AWS variables at the last one."""
    running: list[Store] = []

    def start(*answers: Answer, tls: bool = False, silent: bool = False) -> Store:
        certificate = self_signed(tmp_path) if tls else None
        if certificate:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        running.append(Store(*answers, certificate=certificate, silent=silent))
        monkeypatch.setenv("AWS_ENDPOINT_URL", running[-1].url)
        return running[-1]

    for name, value in {"ACCESS_KEY_ID": "AKIDEXAMPLE", "SECRET_ACCESS_KEY": "secret", "REGION": "r"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    yield start
    for store in running:
        store.close()


def connect(store: Store) -> HttpConnection:
    return HttpConnection(Endpoint("127.0.0.1", store.port, store.url.startswith("https")), QUICK)


def body_of(store: Store, most_bytes: int = 1 << 20) -> bytes:
    connection = connect(store)
    return connection.read_body(connection.request("GET", "/", {}), most_bytes)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("start", "drip", "bound"),
    [
        (b"H", b"T", "no whole response head within 0.3 s"),
        (OK + b"X: ", b"a", "no whole response head within 0.3 s"),
        (OK + b"Content-Length: 100000\r\n\r\n", b"a", "bytes in 0.3 s"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1", "bytes in 0.3 s"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", "bytes in 0.3 s"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n", b"a", "bytes in 0.3 s"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n", "bytes in 0.3 s"),
        (OK + b"\r\n", b"a", "bytes in 0.3 s"),
        # Above the least rate of a span, below that of the whole.
        (OK + b"Content-Length: 1000000\r\n\r\n", b"a" * 2000, "not done after 2 s"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", "no whole response head"),
    ],
)
def test_a_dripping_answer_is_ended_by_the_bound_that_it_met(
    serve: Callable[..., Store], tls: bool, start: bytes, drip: bytes, bound: str
) -> None:
    began_s = time.monotonic()
    with pytest.raises(TransientError, match=bound):
        body_of(serve((start, drip), tls=tls))
    assert time.monotonic() - began_s < 20


@pytest.mark.parametrize("tls", [False, True])
def test_a_long_read_that_drips_is_ended_too(serve: Callable[..., Store], tls: bool) -> None:
    """The read of a chunk is one call for many megabytes."""
    connection = connect(serve((OK + b"Content-Length: 9000000\r\n\r\n", b"a"), tls=tls))
    connection.request("GET", "/", {})
    with pytest.raises(TransientError, match=r"stalled"):
        connection.fill(memoryview(bytearray(8 << 20)))


def test_a_server_that_only_accepts_is_ended_in_the_handshake(serve: Callable[..., Store]) -> None:
    store = serve(silent=True)
    connection = HttpConnection(Endpoint("127.0.0.1", store.port, tls=True), QUICK)
    with pytest.raises(TransientError, match=r"stalled for 0\.3 s"):
        connection.request("GET", "/", {})


def test_a_handshake_that_drips_is_ended(serve: Callable[..., Store]) -> None:
    store = serve((b"\x16\x03\x03\x40\x00", b"\x02"))
    connection = HttpConnection(Endpoint("127.0.0.1", store.port, tls=True), QUICK)
    with pytest.raises(TransientError, match=r"stalled for 0\.3 s"):
        connection.request("GET", "/", {})


def test_an_upload_that_nobody_takes_is_ended(serve: Callable[..., Store]) -> None:
    connection = connect(serve(silent=True))
    with pytest.raises(TransientError, match="stalled"):
        connection.request("PUT", "/", {}, bytes(64 << 20))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (OK + b"Content-Length: 99999999999\r\n\r\n", "more than 1048576 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n", "more than 1048576 bytes"),
        (OK + b"\r\n" + bytes(2 << 20), "more than 1048576 bytes"),
        (OK + b"Content-Length: \xb2\r\n\r\n", "not a count"),
        (OK + b"Content-Length: -1\r\n\r\n", "not a count"),
        (OK + b"Content-Length: 9223372036854775808000\r\n\r\n", "not a count"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "two lengths"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", "not a chunk's length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\n", "not a chunk's length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n\xb2\r\n", "not a chunk's length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 100_000, "longer than 64 KiB"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabcdef\r\n", "longer than its first line"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: a\r\n" * 20_000, "trailer is longer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, "head is longer than 64 KiB"),
        (b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n", "not a count"),
        (b"HTTP/1.1\r\n\r\n", "no HTTP/1.1 response"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "interim responses"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP/1.1 response"),
    ],
)
def test_a_lying_answer_is_refused_unread(serve: Callable[..., Store], answer: bytes, sentence: str) -> None:
    with pytest.raises(StorageError, match=sentence):
        body_of(serve((answer, b"")))


def xml(inner: str) -> Answer:
    body = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</ListBucketResult>'
    return OK + b"Content-Length: %d\r\n\r\n" % len(body.encode()) + body.encode(), b""


def entry(key: str, size: str = "1") -> str:
    return f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>e</ETag></Contents>"


@pytest.mark.parametrize(
    ("inner", "sentence"),
    [
        (entry("p/a") + "<NextContinuationToken>t</NextContinuationToken>", "repeats a page of its listing"),
        (entry("p/a", "\xb2"), "not a count"),
        (entry("p/a", "-1"), "not a count"),
        (entry("p/a", "9" * 5000), "not a count"),
        (entry("p/a", ""), "not a count"),
        ("<a", "cannot be read"),
        ("&lol;", "cannot be read"),
    ],
)
def test_a_listing_that_lies_is_refused(serve: Callable[..., Store], inner: str, sentence: str) -> None:
    store = serve(xml(inner))
    with pytest.raises(StorageError, match=sentence):
        open_store("s3://bucket/p").listing()
    assert len(store.requests) <= 2


def test_a_listing_without_an_end_is_ended(
    serve: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "_MOST_PAGES", 5)
    pages = [xml(f"<NextContinuationToken>{number}</NextContinuationToken>") for number in range(50)]
    store = serve(*pages)
    with pytest.raises(StorageError, match="lists more than 0 objects"):
        open_store("s3://bucket/p").listing()
    assert len(store.requests) == 6


def test_entities_of_a_listing_are_refused_before_they_grow(serve: Callable[..., Store]) -> None:
    document = b'<!DOCTYPE a [<!ENTITY l "' + b"l" * 1000 + b'">]><ListBucketResult>&l;</ListBucketResult>'
    serve((OK + b"Content-Length: %d\r\n\r\n" % len(document) + document, b""))
    with pytest.raises(StorageError, match="not a listing"):
        open_store("s3://bucket/p").listing()


def test_keys_outside_the_prefix_are_left_out_and_encoded_ones_are_read(serve: Callable[..., Store]) -> None:
    inner = "<EncodingType>url</EncodingType>" + "".join(map(entry, ("p/", "q/a", "p/a+b%01%2Bc", "../p/d")))
    serve(xml(inner))
    assert list(open_store("s3://bucket/p").listing()) == ["a b\x01+c"]


def test_a_store_that_throttles_is_waited_for_as_it_asks() -> None:
    pauses: list[float] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    backoff = Backoff(sleep, lambda: clock[0])
    with pytest.raises(StorageError, match=r"the store throttles for \d+ s and asks for 7 s more"):
        for _ in range(1000):
            backoff.after(TransientError("503 SlowDown", throttled=True, retry_after_s=7))
    assert min(pauses) >= 7
    assert 200 < clock[0] <= retry.MOST_THROTTLED_S + 30


def test_retry_after_is_read_from_the_answer(
    serve: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    throttled = b"HTTP/1.1 503 Slow Down\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n", b""
    store = serve(throttled, throttled, (OK + b"Content-Length: 2\r\n\r\nhi", b""))
    pauses: list[float] = []
    session = BucketStore(bucket_from_environment("bucket"), "", QUICK).session()
    monkeypatch.setattr(session, "pause", pauses.append)
    assert session.read("k") == b"hi"
    session.close()
    assert len(store.requests) == 3
    assert all(9 <= pause < 12 for pause in pauses)
    assert len(pauses) == 2


def test_a_message_of_the_store_reaches_nobody_as_it_is(serve: Callable[..., Store]) -> None:
    body = b"<Error><Code>Odd</Code><Message>\x1b[2J\x1b]0;title\x07" + b"m" * 5000 + b"</Message></Error>"
    serve((b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(body) + body, b""))
    with pytest.raises(StorageError) as refusal:
        open_store("s3://bucket/p").session().read("k")
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ACCESS_KEY_ID", "AKID\r\nX-Injected: 1"),
        ("AWS_SECRET_ACCESS_KEY", "very-secret\n"),
        ("AWS_SESSION_TOKEN", "very-secret\r"),
        ("AWS_REGION", "eu-west-1\r\nX: 1"),
        ("AWS_REGION", "eu/west"),
        ("AWS_ENDPOINT_URL", "http://h\r\nX: 1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:99999"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:\u00b2"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:0"),
        ("AWS_ENDPOINT_URL", "http://[::1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1/?a=b"),
    ],
)
def test_variables_that_would_become_other_headers_or_places_are_refused(
    serve: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    store = serve((OK + b"Content-Length: 0\r\n\r\n", b""))
    monkeypatch.setenv(name, value)
    with pytest.raises(StorageError, match=name) as refusal:
        open_store("s3://bucket/p").session().read("k")
    assert "very-secret" not in str(refusal.value)
    assert store.requests == []


@pytest.mark.parametrize("location", ["s3://", "s3:///k", "s3://a b/k", "s3://b\0/k", "a\0b", "gs://b/k"])
def test_a_location_that_is_none_is_refused(serve: Callable[..., Store], location: str) -> None:
    serve((OK, b""))
    with pytest.raises(StorageError):
        open_store(location)


def test_a_key_that_is_no_text_is_refused(serve: Callable[..., Store]) -> None:
    serve((OK, b""))
    with pytest.raises(StorageError, match="not valid Unicode"):
        open_store("s3://bucket/\ud800").session().read("k")


def test_an_address_of_ipv6_is_put_in_brackets(monkeypatch: pytest.MonkeyPatch, serve: object) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://[::1]:9000")
    assert bucket_from_environment("b").endpoint.host_header == "[::1]:9000"


@pytest.mark.parametrize("tls", [False, True])
def test_a_closed_stream_does_not_wait_for_a_silent_store(serve: Callable[..., Store], tls: bool) -> None:
    store = serve((b"", b""), tls=tls)
    stream = fastload.open_stream("s3://bucket/p")
    deadline_s = time.monotonic() + 20
    while not store.requests and time.monotonic() < deadline_s:
        time.sleep(0.01)
    began_s = time.monotonic()
    stream.close()
    assert time.monotonic() - began_s < 2.5  # the head alone would be waited for 3 s, eight times
    with pytest.raises(FastloadError):
        stream.tensors()


def test_ctrl_c_ends_a_load_from_a_silent_store(serve: Callable[..., Store]) -> None:
    store = serve((b"", b""))
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "from fastload.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "load", "s3://bucket/p"], stderr=subprocess.PIPE
    )
    try:
        deadline_s = time.monotonic() + 40
        while not store.requests and time.monotonic() < deadline_s:
            time.sleep(0.01)
        began_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert time.monotonic() - began_s < 10  # the head alone would be waited for 3 s, then 6, 12, 24
    assert (process.returncode, errors) == (130, b"interrupted\n")


def test_a_named_pipe_in_place_of_a_chunk_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(StorageError, match="is not a file"):
        fastload.read_manifest(str(tmp_path))
    session = open_store(str(tmp_path)).session()
    with pytest.raises(StorageError, match="is not a file"):
        read_range(session, "manifest.json", 0, memoryview(bytearray(1)))


def test_a_manifest_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(StorageError, match="has 2147483648 bytes"):
        fastload.read_manifest(str(tmp_path))


@pytest.mark.parametrize(
    ("code", "clock_ahead_s", "words"),
    [
        ("AccessDenied", 0, "access denied (AccessDenied on order); check the AWS_* credentials"),
        ("", 0, "access denied (403); check"),
        ("RequestTimeTooSkewed", 0, "this machine's clock is too far from the store's (RequestTimeTooSkewed"),
        ("", 3600, "this machine's clock is 60 minutes from the store's (403); set the clock"),
        ("InvalidObjectState", 0, "archived in S3 Glacier (InvalidObjectState on order); restore it"),
        ("ExpiredToken", 0, "the credentials have expired (ExpiredToken on order)"),
    ],
)
def test_a_denied_request_says_what_it_was(
    store: HostileStore, monkeypatch: pytest.MonkeyPatch, code: str, clock_ahead_s: int, words: str
) -> None:
    store.denial, store.objects["model/x"] = code, b"bytes"
    store.faults.append(Fault("denied", "model/x", times=10))
    date = formatdate(time.time() - clock_ahead_s, usegmt=True)
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: date)
    with pytest.raises(StorageError, match=re.escape(words)):
        open_store(f"s3://{BUCKET}/model").session().open_range("x", 0, 5)
