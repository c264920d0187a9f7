"""Objects under a prefix of an S3 bucket."""

from __future__ import annotations

from typing import NoReturn
from xml.etree import (
    ElementTree,
)  # no entity can reach out in Python's parser, and expat limits their expansion

from fastload.checksums import crc32c_header
from fastload.errors import ObjectMissingError, StorageError, TransientError
from fastload.storage.http_connection import HttpConnection, ResponseHead
from fastload.storage.retry import Backoff
from fastload.storage.s3_client import Bucket
from fastload.storage.store import ObjectInfo

_CHECKSUMS = ("crc64nvme", "crc32c", "crc32", "sha256")  # the first one an object has is taken
_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_THROTTLED_STATUS = frozenset({429, 503})


class BucketStore:
    """A prefix of a bucket; keys are relative to it."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.location = f"s3://{bucket.name}/{prefix}"
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def listing(self) -> dict[str, ObjectInfo]:
        session, found = self.session(), {}
        query = {"list-type": "2", "prefix": self._prefix, "max-keys": "1000"}
        while True:
            document = ElementTree.fromstring(session.read_bucket(query))  # noqa: S314
            space = document.tag.removesuffix("ListBucketResult")
            for item in document.iter(f"{space}Contents"):
                key = item.findtext(f"{space}Key", "").removeprefix(self._prefix)
                size_bytes = int(item.findtext(f"{space}Size", "0"))
                if key:
                    found[key] = ObjectInfo(size_bytes, item.findtext(f"{space}ETag", ""))
            token = document.findtext(f"{space}NextContinuationToken")
            if not token:
                session.close()
                return found
            query["continuation-token"] = token

    def session(self) -> BucketSession:
        return BucketSession(self._bucket, self._prefix)

    def content_version(self, key: str, listed: ObjectInfo) -> str:
        return listed.version  # the ETag, which S3 derives from the content


class BucketSession:
    """Requests over one connection."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._connection = HttpConnection(bucket.endpoint)
        self._unread_bytes = 0

    def read(self, key: str) -> bytes:
        return Backoff().attempt(lambda: self._whole("GET", self._prefix + key, {}, {}, b""))

    def open_range(self, key: str, start_bytes: int, length_bytes: int, version: str | None = None) -> int:
        extra = {"Range": f"bytes={start_bytes}-{start_bytes + length_bytes - 1}"}
        if version is not None:
            extra["If-Match"] = version
        head = self._send("GET", self._prefix + key, {}, extra, b"")
        _, _, object_bytes = head.headers.get("content-range", "").partition("/")
        if head.status != 206 or not object_bytes.isdigit():
            self._connection.close()
            raise StorageError(f"{self._name(key)}: the store does not serve ranges (status {head.status}).")
        if head.length_bytes != length_bytes:
            self._connection.close()
            raise StorageError(
                f"{self._name(key)} has {object_bytes} bytes, {start_bytes + length_bytes} are needed; "
                "it was cut short or replaced."
            )
        self._unread_bytes = length_bytes
        return int(object_bytes)

    def fill(self, view: memoryview) -> None:
        self._connection.fill(view)
        self._unread_bytes -= len(view)

    def write(self, key: str, data: bytes | memoryview, checksum: int) -> None:
        extra = {"x-amz-checksum-crc32c": crc32c_header(checksum)}
        Backoff().attempt(lambda: self._whole("PUT", self._prefix + key, {}, extra, data))

    def stored_checksum(self, key: str, version: str | None = None) -> tuple[str, str] | None:
        extra = {"x-amz-checksum-mode": "ENABLED"}
        if version is not None:
            extra["If-Match"] = version
        head = Backoff().attempt(lambda: self._send("HEAD", self._prefix + key, {}, extra, b""))
        # A composite one is a checksum of the parts' checksums, and does not tell where the parts end.
        if head.headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
            return None
        for algorithm in _CHECKSUMS:
            value = head.headers.get(f"x-amz-checksum-{algorithm}")
            if value and "-" not in value:
                return algorithm, value
        return None

    def read_bucket(self, query: dict[str, str]) -> bytes:
        """GET on the bucket itself, with a query."""
        return Backoff().attempt(lambda: self._whole("GET", "", query, {}, b""))

    def close(self) -> None:
        self._connection.close()

    def _whole(
        self, method: str, key: str, query: dict[str, str], extra: dict[str, str], body: bytes | memoryview
    ) -> bytes:
        head = self._send(method, key, query, extra, body)
        answer = self._connection.read_body(head)
        if head.headers.get("connection", "").lower() == "close":
            self._connection.close()
        return answer

    def _send(
        self, method: str, key: str, query: dict[str, str], extra: dict[str, str], body: bytes | memoryview
    ) -> ResponseHead:
        if self._unread_bytes:  # the caller needed less than it had asked for
            self._connection.close()
            self._unread_bytes = 0
        path, query_string = self._bucket.target(key, query)
        headers = self._bucket.signed_headers(method, path, query_string, extra)
        target = f"{path}?{query_string}" if query_string else path
        head = self._connection.request(method, target, headers, body)
        if head.status >= 300:
            self._refuse(key, head, has_body=method != "HEAD")
        return head

    def _refuse(self, key: str, head: ResponseHead, *, has_body: bool) -> NoReturn:
        """Raise what an error response means."""
        answer = self._connection.read_body(head).decode("utf-8", "replace") if has_body else ""
        self._connection.close()
        code = answer.partition("<Code>")[2].partition("</Code>")[0] or str(head.status)
        text = answer.partition("<Message>")[2].partition("</Message>")[0]
        name = f"s3://{self._bucket.name}/{key}"
        if head.status in _TRANSIENT_STATUS or code == "RequestTimeout":
            throttled = head.status in _THROTTLED_STATUS
            raise TransientError(f"{name}: {code} {text}".rstrip(), throttled=throttled)
        if head.status == 404:
            raise ObjectMissingError(f"{name} does not exist ({code}).")
        if head.status == 412:
            raise StorageError(f"{name} changed while it was being read; start again.")
        if head.status in (401, 403):
            raise StorageError(
                f"{name}: access denied ({code} {text}); check the AWS_* credentials and the policy."
            )
        if head.status < 400:
            raise StorageError(f"{name}: the bucket is in another region ({code} {text}); set AWS_REGION.")
        raise StorageError(f"{name}: the store refused the request ({code} {text}).")

    def _name(self, key: str) -> str:
        return f"s3://{self._bucket.name}/{self._prefix}{key}"
