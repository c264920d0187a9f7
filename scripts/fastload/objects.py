"""Objects under one prefix of S3, or files under one folder: listed, read in ranges, written whole.

Keys are relative to the location. A session belongs to one thread; each has its own connection.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from xml.etree import (
    ElementTree,
)  # the documents come from the store whose bytes are trusted as weights anyway

from fastload.checksums import crc32c, crc32c_header
from fastload.errors import ObjectMissingError, StorageError, TransientError
from fastload.s3 import Bucket, bucket_from_environment
from fastload.wire import HttpConnection, ResponseHead

_T = TypeVar("_T")
_READ_BYTES = 1 << 20
_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_THROTTLED_STATUS = frozenset({429, 503})
_MOST_ATTEMPTS = 8
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 3.0
_FIRST_TIMEOUT_S = 3.0
_LONGEST_TIMEOUT_S = 24.0


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing; `version` changes whenever the content does, as far as a listing can tell."""

    size_bytes: int
    version: str


class Session(Protocol):
    """One thread's way to the objects. Raises ObjectMissingError, StorageError."""

    def read(self, key: str) -> bytes:
        """The whole of a small object."""
        ...

    def read_into(self, key: str, start_bytes: int, view: memoryview, version: str | None = None) -> int:
        """Fill `view` from `start_bytes` on, and return the CRC32C of what landed.

        With `version`, refuse an object that has changed since it was listed.
        """
        ...

    def write(self, key: str, data: bytes | memoryview, checksum: int) -> None:
        """Write an object whole: afterwards it is there with all its bytes, or not at all."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """A location."""

    location: str

    def listing(self) -> dict[str, ObjectInfo]:
        """Every object below the location."""
        ...

    def session(self, on_retry: Callable[[TransientError], None] = lambda error: None) -> Session:
        """A session whose failed attempts are reported to `on_retry` before they are tried again."""
        ...

    def content_version(self, key: str, listed: ObjectInfo) -> str:
        """A text that is equal for equal content and differs, for all practical purposes, otherwise."""
        ...


def open_store(location: str) -> Store:
    """The store behind "s3://bucket/prefix/" or a folder's path."""
    if location.startswith("s3://"):
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if not bucket:
            raise StorageError(f"{location!r} names no bucket; write s3://bucket/prefix/.")
        return S3Store(bucket_from_environment(bucket), prefix.rstrip("/"))
    if "://" in location:
        raise StorageError(f"{location!r} is neither s3://bucket/prefix/ nor a folder.")
    return FolderStore(Path(location))


class FolderStore:
    """Files under a folder."""

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self._folder = folder

    def listing(self) -> dict[str, ObjectInfo]:
        found = {}
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and not path.name.startswith(".fastload-"):
                status = path.stat()
                key = path.relative_to(self._folder).as_posix()
                found[key] = ObjectInfo(status.st_size, f"{status.st_mtime_ns}")
        return found

    def session(self, on_retry: Callable[[TransientError], None] = lambda error: None) -> FolderSession:
        return FolderSession(self._folder)

    def content_version(self, key: str, listed: ObjectInfo) -> str:
        with (self._folder / key).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class FolderSession:
    """Positioned reads and renamed-into-place writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: tuple[str, int] | None = None

    def read(self, key: str) -> bytes:
        try:
            return (self._folder / key).read_bytes()
        except OSError as error:
            raise self._failure(key, error) from error

    def read_into(self, key: str, start_bytes: int, view: memoryview, version: str | None = None) -> int:
        checksum, filled = 0, 0
        try:
            descriptor = self._descriptor(key)
            if version is not None and version != f"{os.fstat(descriptor).st_mtime_ns}":
                raise StorageError(f"{self._folder / key} changed while it was being read; start again.")
            while filled < len(view):
                piece = view[filled : filled + _READ_BYTES]
                taken = os.preadv(descriptor, [piece], start_bytes + filled)
                if taken == 0:
                    raise StorageError(
                        f"{self._folder / key} ends at byte {start_bytes + filled}; it was cut short."
                    )
                checksum = crc32c(piece[:taken], checksum)
                filled += taken
        except OSError as error:
            raise self._failure(key, error) from error
        return checksum

    def write(self, key: str, data: bytes | memoryview, checksum: int) -> None:
        path = self._folder / key
        draft = path.with_name(f".fastload-{os.getpid()}-{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            draft.replace(path)
        except OSError as error:
            raise self._failure(key, error) from error

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _descriptor(self, key: str) -> int:
        if self._open is None or self._open[0] != key:
            self.close()
            self._open = (key, os.open(self._folder / key, os.O_RDONLY))
        return self._open[1]

    def _failure(self, key: str, error: OSError) -> StorageError:
        path = self._folder / key
        if isinstance(error, FileNotFoundError):
            return ObjectMissingError(f"{path} does not exist.")
        return StorageError(f"{path}: {error.strerror}.")


class S3Store:
    """Objects under a prefix of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.location = f"s3://{bucket.name}/{prefix}"
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def listing(self) -> dict[str, ObjectInfo]:
        session, found = self.session(), {}
        query = {"list-type": "2", "prefix": self._prefix, "max-keys": "1000"}
        while True:
            document = ElementTree.fromstring(session.bucket_request(query))  # noqa: S314
            space = document.tag.removesuffix("ListBucketResult")
            for item in document.iter(f"{space}Contents"):
                key = item.findtext(f"{space}Key", "").removeprefix(self._prefix)
                size = int(item.findtext(f"{space}Size", "0"))
                if key:
                    found[key] = ObjectInfo(size, item.findtext(f"{space}ETag", ""))
            token = document.findtext(f"{space}NextContinuationToken")
            if not token:
                session.close()
                return found
            query["continuation-token"] = token

    def session(self, on_retry: Callable[[TransientError], None] = lambda error: None) -> S3Session:
        return S3Session(self._bucket, self._prefix, on_retry)

    def content_version(self, key: str, listed: ObjectInfo) -> str:
        return listed.version  # the ETag, which S3 derives from the content


class S3Session:
    """Requests over one connection, tried again with growing pauses where that may help."""

    def __init__(self, bucket: Bucket, prefix: str, on_retry: Callable[[TransientError], None]) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._on_retry = on_retry
        self._connection = HttpConnection(bucket.endpoint, _FIRST_TIMEOUT_S)

    def read(self, key: str) -> bytes:
        return self._persist(lambda: self._whole("GET", self._prefix + key, {}))

    def read_into(self, key: str, start_bytes: int, view: memoryview, version: str | None = None) -> int:
        return self._persist(lambda: self._read_range(key, start_bytes, view, version))

    def write(self, key: str, data: bytes | memoryview, checksum: int) -> None:
        extra = {"x-amz-checksum-crc32c": crc32c_header(checksum)}
        self._persist(lambda: self._whole("PUT", self._prefix + key, {}, extra, data))

    def bucket_request(self, query: dict[str, str]) -> bytes:
        """GET on the bucket itself, with a query."""
        return self._persist(lambda: self._whole("GET", "", query))

    def close(self) -> None:
        self._connection.close()

    def _persist(self, attempt: Callable[[], _T]) -> _T:
        timeout_s = _FIRST_TIMEOUT_S
        for number in range(1, _MOST_ATTEMPTS):
            try:
                return attempt()
            except TransientError as error:
                self._on_retry(error)
                # Full jitter, so that connections throttled together do not come back together.
                pause_s = min(_FIRST_PAUSE_S * 2**number, _LONGEST_PAUSE_S)
                time.sleep(random.uniform(0, pause_s))  # noqa: S311
                timeout_s = min(timeout_s * 2, _LONGEST_TIMEOUT_S)
                self._connection.set_timeout(timeout_s)
        try:
            return attempt()
        except TransientError as error:
            message = f"{error}; gave up after {_MOST_ATTEMPTS} attempts. Check the network and the store."
            raise StorageError(message) from error

    def _read_range(self, key: str, start_bytes: int, view: memoryview, version: str | None) -> int:
        extra = {"Range": f"bytes={start_bytes}-{start_bytes + len(view) - 1}"}
        if version is not None:
            extra["If-Match"] = version
        head = self._send("GET", self._prefix + key, {}, extra, b"")
        if head.status != 206:
            raise StorageError(f"{self._name(key)}: the store ignores ranges (answered {head.status}).")
        if head.length_bytes != len(view):
            raise StorageError(
                f"{self._name(key)}: asked for {len(view)} bytes from {start_bytes} on, the store has "
                f"{head.length_bytes}; the object was cut short or replaced."
            )
        checksum = self._connection.read_into(view)
        self._finish(head)
        return checksum

    def _whole(
        self,
        method: str,
        key: str,
        query: dict[str, str],
        extra: dict[str, str] | None = None,
        body: bytes | memoryview = b"",
    ) -> bytes:
        head = self._send(method, key, query, extra or {}, body)
        answer = self._connection.read_body(head)
        self._finish(head)
        return answer

    def _send(
        self, method: str, key: str, query: dict[str, str], extra: dict[str, str], body: bytes | memoryview
    ) -> ResponseHead:
        path, query_string = self._bucket.target(key, query)
        headers = self._bucket.signed_headers(method, path, query_string) | extra
        target = f"{path}?{query_string}" if query_string else path
        head = self._connection.request(method, target, headers, body)
        if head.status >= 300:
            self._refuse(key, head)
        return head

    def _refuse(self, key: str, head: ResponseHead) -> None:
        """Raise what an error response means."""
        answer = self._connection.read_body(head).decode("utf-8", "replace")
        self._connection.close()
        code = answer.partition("<Code>")[2].partition("</Code>")[0] or str(head.status)
        text = answer.partition("<Message>")[2].partition("</Message>")[0]
        name = f"s3://{self._bucket.name}/{key}"
        if head.status in _TRANSIENT_STATUS or code == "RequestTimeout":
            raise TransientError(
                f"{name}: {code} {text}".rstrip(), throttled=head.status in _THROTTLED_STATUS
            )
        if head.status == 404:
            raise ObjectMissingError(f"{name} does not exist ({code}).")
        if head.status == 412:
            raise StorageError(f"{name} changed while it was being read; start again.")
        if head.status in (401, 403):
            raise StorageError(
                f"{name}: access denied ({code} {text}); check AWS_* credentials and the bucket's policy."
            )
        if 300 <= head.status < 400:
            raise StorageError(f"{name}: the bucket is in another region ({code} {text}); set AWS_REGION.")
        raise StorageError(f"{name}: the store refused the request ({code} {text}).")

    def _finish(self, head: ResponseHead) -> None:
        if head.headers.get("connection", "").lower() == "close":
            self._connection.close()

    def _name(self, key: str) -> str:
        return f"s3://{self._bucket.name}/{self._prefix}{key}"
