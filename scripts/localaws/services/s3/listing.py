"""Listings: buckets, objects (both versions of the call), uploads and parts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web

from ...errors import AwsError
from .index import Index
from .records import Bucket, Object
from .request import S3Request
from .stored_headers import storage_class
from .xml import Element, document, iso_time

_MAX_KEYS = 1000
# Records of the first query; later ones are larger if nothing can be skipped.
_FIRST_SCAN = 4


@dataclass
class Page:
    """One page of a listing; `last` is the last key or prefix in it."""

    objects: list[Object] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str = ""
    truncated: bool = False


def page(index: Index, bucket: str, prefix: str, delimiter: str, after: str, max_keys: int) -> Page:
    """Objects after `after` that start with `prefix`; keys with the delimiter after it are grouped."""
    found = Page()
    start, inclusive = (after, False) if after >= prefix else (prefix, True)
    if delimiter and after.startswith(prefix) and after.endswith(delimiter) and after != prefix:
        start, inclusive = behind(after), True
    limit = _FIRST_SCAN
    while max_keys:
        batch = index.scan(bucket, start, inclusive, limit)
        is_last = len(batch) < limit
        limit = min(limit * 4, _MAX_KEYS + 1)
        for item in batch:
            if not item.key.startswith(prefix):
                return found
            if len(found.objects) + len(found.prefixes) == max_keys:
                found.truncated = True
                return found
            cut = item.key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                found.last = item.key[: cut + len(delimiter)]
                found.prefixes.append(found.last)
                # Skip everything with this prefix without reading it.
                start, inclusive, limit = behind(found.last), True, _FIRST_SCAN
                break
            found.objects.append(item)
            found.last = start = item.key
            inclusive = False
        else:
            if is_last:
                return found
    return found


def list_objects_v2(index: Index, request: S3Request) -> web.Response:
    """ListObjectsV2."""
    query = request.query
    max_keys = request.number("max-keys", 0, _MAX_KEYS, _MAX_KEYS)
    token = query.get("continuation-token")
    after = query.get("start-after", "") if token is None else _read_token(token)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    found = page(index, request.bucket, prefix, delimiter, after, max_keys)
    text = encoder(request)
    return document(
        "ListBucketResult",
        [
            ("Name", request.bucket),
            ("Prefix", text(prefix)),
            ("Delimiter", text(delimiter) if delimiter else None),
            # A token takes precedence.
            ("StartAfter", text(query["start-after"]) if "start-after" in query and token is None else None),
            ("ContinuationToken", token),
            ("NextContinuationToken", _write_token(found.last) if found.truncated else None),
            ("KeyCount", len(found.objects) + len(found.prefixes)),
            ("MaxKeys", max_keys),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", str(found.truncated).lower()),
            *_contents(request, found, query.get("fetch-owner") == "true"),
        ],
    )


def list_objects_v1(index: Index, request: S3Request) -> web.Response:
    """ListObjects."""
    query = request.query
    max_keys = request.number("max-keys", 0, _MAX_KEYS, _MAX_KEYS)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    found = page(index, request.bucket, prefix, delimiter, query.get("marker", ""), max_keys)
    text = encoder(request)
    return document(
        "ListBucketResult",
        [
            ("Name", request.bucket),
            ("Prefix", text(prefix)),
            ("Marker", text(query.get("marker", ""))),
            ("NextMarker", text(found.last) if found.truncated and delimiter else None),
            ("Delimiter", text(delimiter) if delimiter else None),
            ("MaxKeys", max_keys),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", str(found.truncated).lower()),
            *_contents(request, found, True),
        ],
    )


def list_buckets(index: Index, request: S3Request) -> web.Response:
    """ListBuckets."""
    query = request.query
    prefix, region = query.get("prefix", ""), query.get("bucket-region")
    limit = request.number("max-buckets", 1, 10_000) if "max-buckets" in query else None
    token = query.get("continuation-token")
    after = "" if token is None else _read_token(token)
    found = [
        bucket
        for bucket in index.buckets()
        if bucket.name.startswith(prefix) and bucket.name > after and region in (None, bucket.region)
    ]
    shown = found if limit is None else found[:limit]
    is_paged = bool({"prefix", "max-buckets", "continuation-token", "bucket-region"} & query.keys())
    buckets: list[Element] = [("Bucket", _bucket_elements(bucket, is_paged)) for bucket in shown]
    return document(
        "ListAllMyBucketsResult",
        [
            owner(request),
            ("Buckets", buckets),
            ("ContinuationToken", _write_token(shown[-1].name) if len(shown) < len(found) else None),
            ("Prefix", prefix if "prefix" in query else None),
        ],
    )


def _bucket_elements(bucket: Bucket, with_region: bool) -> list[Element]:
    """A bucket's entry; only the newer, paged form of the call includes its region."""
    return [
        ("Name", bucket.name),
        ("CreationDate", iso_time(bucket.created_s)),
        ("BucketRegion", bucket.region if with_region else None),
    ]


def list_uploads(index: Index, request: S3Request) -> web.Response:
    """ListMultipartUploads."""
    limit = request.number("max-uploads", 1, _MAX_KEYS, _MAX_KEYS)
    prefix = request.query.get("prefix", "")
    delimiter = request.query.get("delimiter", "")
    marker = (request.query.get("key-marker", ""), request.query.get("upload-id-marker"))
    uploads = [upload for upload in index.uploads(request.bucket) if upload.key.startswith(prefix)]
    if marker[0] and marker[1] is None:
        uploads = [upload for upload in uploads if upload.key > marker[0]]
    elif marker[0]:
        # A key's uploads are ordered by id, so the position is valid even if its upload no longer exists.
        uploads = [
            upload for upload in uploads if (upload.key, upload.upload_id) > (marker[0], marker[1] or "")
        ]
    folded = list(
        dict.fromkeys(
            upload.key[: cut + len(delimiter)]
            for upload in uploads
            if delimiter and (cut := upload.key.find(delimiter, len(prefix))) >= 0
        )
    )
    uploads = [upload for upload in uploads if not delimiter or delimiter not in upload.key[len(prefix) :]]
    shown, truncated = uploads[:limit], len(uploads) > limit
    text = encoder(request)
    listed: list[Element] = [
        (
            "Upload",
            [
                ("Key", text(upload.key)),
                ("UploadId", upload.upload_id),
                owner(request),
                ("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
                ("Initiated", iso_time(upload.created_s)),
                ("ChecksumAlgorithm", (upload.checksum_algorithm or "").upper() or None),
                ("ChecksumType", upload.checksum_type if upload.checksum_algorithm else None),
            ],
        )
        for upload in shown
    ]
    return document(
        "ListMultipartUploadsResult",
        [
            ("Bucket", request.bucket),
            ("KeyMarker", text(marker[0])),
            ("UploadIdMarker", marker[1] or ""),
            ("NextKeyMarker", text(shown[-1].key) if truncated else None),
            ("NextUploadIdMarker", shown[-1].upload_id if truncated else None),
            ("Prefix", text(prefix)),
            ("Delimiter", text(delimiter) if delimiter else None),
            ("MaxUploads", limit),
            ("EncodingType", request.query.get("encoding-type")),
            ("IsTruncated", str(truncated).lower()),
            *listed,
            *common_prefixes(folded, text),
        ],
    )


def list_parts(index: Index, request: S3Request) -> web.Response:
    """ListParts; the caller has checked that the upload exists."""
    limit = request.number("max-parts", 1, _MAX_KEYS, _MAX_KEYS)
    marker = request.number("part-number-marker", 0, 10_000, 0)
    upload_id = request.query["uploadId"]
    parts = index.parts(upload_id, marker + 1)
    shown, truncated = parts[:limit], len(parts) > limit
    listed: list[Element] = [
        (
            "Part",
            [
                ("PartNumber", part.number),
                ("LastModified", iso_time(part.modified_s)),
                ("ETag", f'"{part.etag}"'),
                ("Size", part.size_bytes),
                *checksum_elements(part.checksums),
            ],
        )
        for part in shown
    ]
    return document(
        "ListPartsResult",
        [
            ("Bucket", request.bucket),
            ("Key", request.key),
            ("UploadId", upload_id),
            ("PartNumberMarker", marker),
            ("NextPartNumberMarker", shown[-1].number if shown else marker),
            ("MaxParts", limit),
            ("IsTruncated", str(truncated).lower()),
            ("StorageClass", "STANDARD"),
            *listed,
        ],
    )


def checksum_elements(checksums: dict[str, str]) -> Sequence[Element]:
    """Checksum headers as document elements: `x-amz-checksum-crc32` is `ChecksumCRC32`."""
    return [
        ("Checksum" + name.removeprefix("x-amz-checksum-").upper(), value)
        for name, value in checksums.items()
        if name != "x-amz-checksum-type"
    ]


def behind(prefix: str) -> str:
    """The first string after all strings that start with `prefix`."""
    code = ord(prefix[-1]) + 1
    if code > 0x10FFFF:
        return behind(prefix[:-1]) if len(prefix) > 1 else prefix + chr(0x10FFFF) * 1024
    return prefix[:-1] + chr(0xE000 if code == 0xD800 else code)


def _contents(request: S3Request, found: Page, with_owner: bool) -> list[Element]:
    text = encoder(request)
    contents: list[Element] = [
        (
            "Contents",
            [
                ("Key", text(item.key)),
                ("LastModified", iso_time(item.modified_s)),
                ("ETag", f'"{item.etag}"'),
                ("Size", item.size_bytes),
                *([owner(request)] if with_owner else []),
                ("StorageClass", storage_class(item)),
            ],
        )
        for item in found.objects
    ]
    return [*contents, *common_prefixes(found.prefixes, text)]


def common_prefixes(prefixes: Iterable[str], text: Callable[[str], str]) -> list[Element]:
    """The common prefixes of a listing."""
    return [("CommonPrefixes", [("Prefix", text(prefix))]) for prefix in prefixes]


def owner(request: S3Request) -> Element:
    """The account, which is the owner of everything."""
    account = request.call.emulator.account_id
    return ("Owner", [("ID", account), ("DisplayName", account)])


def encoder(request: S3Request) -> Callable[[str], str]:
    """The encoding of names: percent-encoded if the client requests it."""
    encoding = request.query.get("encoding-type")
    if encoding not in (None, "url"):
        raise AwsError("InvalidArgument", "Invalid Encoding Method specified in Request")
    return (lambda text: quote(text, safe="/-_.*")) if encoding else (lambda text: text)


def _write_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _read_token(token: str) -> str:
    try:
        if not token:
            raise ValueError("an empty token")
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise AwsError("InvalidArgument", "The continuation token provided is incorrect") from error
