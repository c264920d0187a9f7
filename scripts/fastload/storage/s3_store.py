"""Objects under a prefix of an S3 bucket."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from fastload.checksums import crc32c_header
from fastload.errors import ObjectMissingError, StorageError, TransientError, shown
from fastload.storage.http_connection import HttpConnection, Limits, ResponseHead, parse_count
from fastload.storage.interface import MOST_SMALL_BYTES, ObjectInfo
from fastload.storage.retry import Backoff
from fastload.storage.s3_client import Bucket

_CHECKSUMS = ("crc64nvme", "crc32c", "crc32", "sha256")  # the first that an object has is used
_T = TypeVar("_T")
_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_THROTTLED_STATUS = frozenset({429, 503})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)
# A page of 1,000 keys of 1,024 characters, each encoded as %XX, with its XML.
_MOST_PAGE_BYTES = 16 << 20
_MOST_ERROR_BYTES = 64 << 10
_MOST_OBJECTS = 1_000_000
_MOST_PAGES = 10_000
_MOST_LISTING_S = 600.0
_MOST_CLOCK_DIFFERENCE_S = 15 * 60.0  # S3 refuses signatures with a larger one


class BucketStore:
    """A prefix of a bucket; keys are relative to it."""

    def __init__(self, bucket: Bucket, prefix: str, limits: Limits | None = None) -> None:
        self.location = f"s3://{bucket.name}/{prefix}"
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._limits = limits

    def listing(self) -> dict[str, ObjectInfo]:
        session, found = self.session(), dict[str, ObjectInfo]()
        # Encoded, because keys may hold characters that XML has not.
        query = {"list-type": "2", "prefix": self._prefix, "max-keys": "1000", "encoding-type": "url"}
        deadline_s = time.monotonic() + _MOST_LISTING_S
        tokens: set[str] = set()
        while True:
            token = self._read_page(session.read_bucket(query), found)
            if token is None:
                session.close()
                return found
            if token in tokens:
                raise self._refusal("repeats a page of its listing endlessly")
            tokens.add(token)
            if len(tokens) > _MOST_PAGES or len(found) > _MOST_OBJECTS:
                raise self._refusal(f"lists more than {len(found)} objects")
            if time.monotonic() > deadline_s:
                raise self._refusal(f"was not listed after {_MOST_LISTING_S:.0f} s")
            query["continuation-token"] = token

    def _read_page(self, page: bytes, found: dict[str, ObjectInfo]) -> str | None:
        """Add what a page names; returns the token of the next one."""
        if b"<!DOCTYPE" in page:  # S3 sends none, and entities are what could grow in it
            raise self._refusal("answers with a document that is not a listing")
        try:
            document = ElementTree.fromstring(page)  # noqa: S314 - no DOCTYPE, so no entities
            space = document.tag.removesuffix("ListBucketResult")
            if space == document.tag:
                raise ValueError("it is no ListBucketResult")
            is_encoded = document.findtext(f"{space}EncodingType") == "url"
            for item in document.iter(f"{space}Contents"):
                key = item.findtext(f"{space}Key", "")
                key = unquote_plus(key) if is_encoded else key
                size_bytes = parse_count(item.findtext(f"{space}Size", ""))
                if key.startswith(self._prefix) and key != self._prefix:
                    version = item.findtext(f"{space}ETag", "")
                    found[key.removeprefix(self._prefix)] = ObjectInfo(size_bytes, version)
            return document.findtext(f"{space}NextContinuationToken") or None
        except (ElementTree.ParseError, ValueError) as error:
            raise self._refusal(f"answers with a listing that cannot be read: {shown(str(error))}") from error

    def _refusal(self, what: str) -> StorageError:
        return StorageError(f"{self.location} {what}; check that it is the right store and prefix.")

    def session(self) -> BucketSession:
        return BucketSession(self._bucket, self._prefix, self._limits)

    def content_version(self, key: str, listed: ObjectInfo) -> str:
        return listed.version  # the ETag, which S3 derives from the content


class BucketSession:
    """Requests over one connection."""

    def __init__(self, bucket: Bucket, prefix: str, limits: Limits | None = None) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._connection = HttpConnection(bucket.endpoint, limits)
        self._unread_bytes = 0
        self._interrupted = threading.Event()

    def read(self, key: str, most_bytes: int = MOST_SMALL_BYTES) -> bytes:
        return self._attempt(lambda: self._whole("GET", self._prefix + key, {}, {}, b"", most_bytes))

    def open_range(self, key: str, start_bytes: int, length_bytes: int, version: str | None = None) -> int:
        extra = {"Range": f"bytes={start_bytes}-{start_bytes + length_bytes - 1}"}
        if version:
            extra["If-Match"] = version
        head = self._send("GET", self._prefix + key, {}, extra, b"")
        found = _CONTENT_RANGE.fullmatch(head.headers.get("content-range", ""))
        if head.status != 206 or not found:
            self._connection.close()
            raise StorageError(f"{self._name(key)}: the store does not serve ranges (status {head.status}).")
        first, last, object_bytes = (int(number) for number in found.groups())
        if (first, last - first + 1, head.length_bytes) != (start_bytes, length_bytes, length_bytes):
            self._connection.close()
            raise StorageError(
                f"{self._name(key)} has {object_bytes} bytes, {start_bytes + length_bytes} are needed; "
                "it was cut short or replaced."
            )
        self._unread_bytes = length_bytes
        return object_bytes

    def fill(self, view: memoryview) -> None:
        self._connection.fill(view)
        self._unread_bytes -= len(view)

    def write(self, key: str, data: bytes | memoryview, checksum: int) -> None:
        extra = {"x-amz-checksum-crc32c": crc32c_header(checksum)}
        self._attempt(lambda: self._whole("PUT", self._prefix + key, {}, extra, data))

    def stored_checksum(self, key: str, version: str | None = None) -> tuple[str, str] | None:
        extra = {"x-amz-checksum-mode": "ENABLED"}
        if version is not None:
            extra["If-Match"] = version
        head = self._attempt(lambda: self._send("HEAD", self._prefix + key, {}, extra, b""))
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
        return self._attempt(lambda: self._whole("GET", "", query, {}, b"", _MOST_PAGE_BYTES))

    def close(self) -> None:
        self._connection.close()

    def interrupt(self) -> None:
        self._interrupted.set()
        self._connection.interrupt()

    def pause(self, seconds: float) -> object:
        return self._interrupted.wait(seconds)

    def _attempt(self, work: Callable[[], _T]) -> _T:
        return Backoff(self.pause).attempt(work)

    def _whole(
        self,
        method: str,
        key: str,
        query: dict[str, str],
        extra: dict[str, str],
        body: bytes | memoryview,
        most_bytes: int = _MOST_ERROR_BYTES,
    ) -> bytes:
        head = self._send(method, key, query, extra, body)
        answer = self._connection.read_body(head, most_bytes)
        if head.headers.get("connection", "").lower() == "close":
            self._connection.close()
        return answer

    def _send(
        self, method: str, key: str, query: dict[str, str], extra: dict[str, str], body: bytes | memoryview
    ) -> ResponseHead:
        if self._interrupted.is_set():
            raise StorageError(f"{self._name('')}: the reading was stopped.")
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
        """Raise the error for an error response."""
        try:
            body = self._connection.read_body(head, _MOST_ERROR_BYTES) if has_body else b""
            answer = body.decode("utf-8", "replace")
        except StorageError:  # too long, or cut off: the status says enough
            answer = ""
        self._connection.close()
        code = shown(answer.partition("<Code>")[2].partition("</Code>")[0], 100) or str(head.status)
        text = shown(answer.partition("<Message>")[2].partition("</Message>")[0])
        name = shown(f"s3://{self._bucket.name}/{key}", 1200)
        if head.status in _TRANSIENT_STATUS or code == "RequestTimeout":
            raise TransientError(
                f"{name}: {code} {text}".rstrip(),
                throttled=head.status in _THROTTLED_STATUS,
                retry_after_s=_retry_after_s(head),
            )
        if head.status == 404:
            raise ObjectMissingError(f"{name} does not exist ({code}).")
        if head.status == 416:
            raise StorageError(f"{name} is shorter than it should be; it was cut short or replaced.")
        if head.status == 412:
            raise StorageError(f"{name} changed while it was being read; start again.")
        if head.status in (401, 403):
            raise StorageError(f"{name}: {_denial(code, text, head)}")
        if head.status < 400:
            raise StorageError(f"{name}: the bucket is in another region ({code} {text}); set AWS_REGION.")
        raise StorageError(f"{name}: the store refused the request ({code} {text}).")

    def _name(self, key: str) -> str:
        return shown(f"s3://{self._bucket.name}/{self._prefix}{key}", 1200)


def _denial(code: str, text: str, head: ResponseHead) -> str:
    """Why a request was denied: S3 uses 403 for more than missing permissions."""
    said = f"({code} {text})".replace(" )", ")")
    if code == "InvalidObjectState":
        return f"the object is archived in S3 Glacier {said}; restore it, or upload it again."
    if code in ("ExpiredToken", "TokenRefreshRequired"):
        return f"the credentials have expired {said}; get new ones, then start again."
    # A denied HEAD has no body that would name the reason, but every response has the store's time.
    off_s = _clock_difference_s(head)
    if code == "RequestTimeTooSkewed" or off_s > _MOST_CLOCK_DIFFERENCE_S:
        minutes = f"{off_s / 60:.0f} minutes from" if off_s > _MOST_CLOCK_DIFFERENCE_S else "too far from"
        return f"this machine's clock is {minutes} the store's {said}; set the clock (chronyc makestep)."
    return f"access denied {said}; check the AWS_* credentials and the policy."


def _clock_difference_s(head: ResponseHead) -> float:
    """How far the store's clock is from this machine's, by its Date header; 0 without a readable one."""
    from email.utils import parsedate_to_datetime  # imported late: the fast path does not need it

    try:
        return abs(parsedate_to_datetime(head.headers.get("date", "")).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _retry_after_s(head: ResponseHead) -> float:
    """The store's Retry-After in seconds; 0 if there is none, or if it is a date."""
    try:
        return float(parse_count(head.headers.get("retry-after", "")))
    except ValueError:
        return 0.0
