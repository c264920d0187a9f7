"""The context of S3 operations, and shared steps."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

from ...errors import AwsError
from ...protocol.body import read_body
from ...settings import FaultKind, FaultSpec
from . import checksums
from .index import Index, sequence_of
from .receive import Received, RequestBody, receive
from .records import NULL_VERSION, Bucket, Extent, Object
from .request import S3Request, check_conditions

_MAX_DOCUMENT_BYTES = 2 << 20
# Storage classes whose objects cannot be read before a restore, which is not served.
ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")
_BROKEN_BODIES: tuple[FaultKind, ...] = (
    "connection_reset",
    "truncated_body",
    "flipped_byte",
    "slow_first_byte",
)


@dataclass(frozen=True)
class Storage:
    """The records, and the threads in which uploads are hashed and written."""

    index: Index
    threads: ThreadPoolExecutor


def find_bucket(storage: Storage, name: str) -> Bucket:
    """The bucket. Raises NoSuchBucket."""
    bucket = storage.index.bucket(name)
    if bucket is None:
        members = {"BucketName": name}
        raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404, members)
    return bucket


def versioning(storage: Storage, bucket: str) -> str:
    """`Enabled`, `Suspended`, or empty for a bucket that never had versioning."""
    document = storage.index.setting(bucket, "versioning") or ""
    return next((status for status in ("Enabled", "Suspended") if f">{status}<" in document), "")


def find_object(
    storage: Storage, bucket: str, key: str, version_id: str | None = None, method: str = "GET"
) -> Object:
    """The object, or one version of it. Raises NoSuchKey, NoSuchVersion, or the error of a delete marker."""
    found = (
        storage.index.newest(bucket, key)
        if version_id is None
        else _version(storage, bucket, key, version_id)
    )
    if found is None:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})
    if found.is_marker:
        headers = {"x-amz-delete-marker": "true", "x-amz-version-id": found.version_id}
        if version_id is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key}, headers)
        text = "The specified method is not allowed against this resource."
        headers["Allow"] = "DELETE"
        raise AwsError(
            "MethodNotAllowed", text, 405, {"Method": method, "ResourceType": "DeleteMarker"}, headers
        )
    return found


def find_requested(storage: Storage, request: S3Request) -> Object:
    """The object or the version that the request names."""
    version_id, method = request.query.get("versionId"), request.call.request.method
    return find_object(storage, request.bucket, request.key, version_id, method)


def _version(storage: Storage, bucket: str, key: str, version_id: str) -> Object:
    check_version_id(version_id)
    found = storage.index.version(bucket, key, version_id)
    if found is None:
        members = {"Key": key, "VersionId": version_id}
        raise AwsError("NoSuchVersion", "The specified version does not exist.", 404, members)
    return found


def check_version_id(version_id: str) -> None:
    """Raise InvalidArgument for an invalid version id."""
    if version_id != NULL_VERSION and sequence_of(version_id) is None:
        members = {"ArgumentName": "versionId", "ArgumentValue": version_id}
        raise AwsError("InvalidArgument", "Invalid version id specified", 400, members)


def version_headers(storage: Storage, found: Object) -> dict[str, str]:
    """The version id header, in buckets that have or had versioning."""
    return {"x-amz-version-id": found.version_id} if versioning(storage, found.bucket) else {}


def find_copy_source(storage: Storage, request: S3Request) -> Object:
    """The object named by x-amz-copy-source, after checking its conditions."""
    address, _, parameters = request.headers["x-amz-copy-source"].partition("?versionId=")
    bucket, _, key = unquote(address).removeprefix("/").partition("/")
    if not bucket or not key or "?" in address:
        raise AwsError("InvalidArgument", "Copy Source must mention the source bucket and key")
    find_bucket(storage, bucket)
    check_owner(request, "x-amz-source-expected-bucket-owner")
    source = find_object(storage, bucket, key, parameters or None)
    if source.headers.get("x-amz-storage-class") in ARCHIVED:
        text = (
            "The source object of the COPY operation is not in the active tier and is only stored in Amazon "
            "Glacier."
        )
        raise AwsError("ObjectNotInActiveTierError", text, 403, {"Key": source.key})
    check_conditions(request.headers, source.etag, source.modified_s, "x-amz-copy-source-", reading=False)
    return source


def check_owner(request: S3Request, header: str = "x-amz-expected-bucket-owner") -> None:
    """Raise AccessDenied if the client expects the bucket to belong to another account."""
    if request.headers.get(header) not in (None, request.call.emulator.account_id):
        raise AwsError("AccessDenied", "Access Denied", 403)


def archived(found: Object) -> AwsError:
    """S3's error for reading an object that has to be restored first."""
    kind = found.headers["x-amz-storage-class"]
    text = "The operation is not valid for the object's storage class"
    return AwsError("InvalidObjectState", text, 403, {"StorageClass": kind})


async def read_document(request: S3Request, speaks_of_object: bool = False) -> bytes:
    """A small body, verified against the signature and the MD5 or checksum sent by the client.

    `speaks_of_object`: the checksum headers are the object's, not this document's (CompleteMultipartUpload).
    """
    body = await read_body(request.call.request, _MAX_DOCUMENT_BYTES)
    promised = request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if promised != "UNSIGNED-PAYLOAD" and promised.lower() != hashlib.sha256(body).hexdigest():
        text = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise AwsError("XAmzContentSHA256Mismatch", text)
    names = {"Content-MD5": "md5"}
    if not speaks_of_object:
        names |= {f"{checksums.HEADER_PREFIX}{algorithm}": algorithm for algorithm in checksums.ALGORITHMS}
    for name, algorithm in names.items():
        checksum = checksums.new(algorithm)
        checksum.update(body)
        if request.headers.get(name) not in (None, checksums.encoded(checksum.digest())):
            raise AwsError("BadDigest", f"The {name} you specified did not match what we received.")
    return body


async def receive_file(storage: Storage, request: S3Request, operation: str) -> tuple[Extent, Received]:
    """Write the request's body to a new file, which has no record yet."""
    file_id, path = storage.index.new_file()
    call = request.call
    transfer = call.emulator.network.transfer(call.access_key_id, "from_client")
    reset = call.emulator.faults.take("connection_reset", **match(request, operation))
    source = request.file or RequestBody(call.request)
    received = await receive(call, source, path, storage.threads, transfer, reset)
    return Extent(file_id, 0, received.size_bytes), received


def strike(request: S3Request, operation: str) -> None:
    """Raise the error of an injected fault before anything is done."""
    faults, fields = request.call.emulator.faults, match(request, operation)
    if faults.take("expired_token", **fields):
        raise AwsError("ExpiredToken", "The provided token has expired.", 400)
    if faults.take("access_denied", **fields):
        raise AwsError("AccessDenied", "Access Denied", 403)
    if faults.take("slow_down", **fields) or faults.take("throttling", **fields):
        raise AwsError("SlowDown", "Please reduce your request rate.", 503)


def broken_body(request: S3Request, operation: str) -> FaultSpec | None:
    """The injected fault for the body of this response."""
    fields = match(request, operation)
    struck = (request.call.emulator.faults.take(kind, **fields) for kind in _BROKEN_BODIES)
    return next((fault for fault in struck if fault), None)


def match(request: S3Request, operation: str) -> dict[str, str | None]:
    """The values that a fault's match fields are compared with."""
    key = request.call.emulator.keys.get(request.call.access_key_id)
    return {
        "service": "s3",
        "operation": operation,
        "bucket": request.bucket,
        "key": request.key,
        "access_key_id": request.call.access_key_id,
        "instance_type": key.instance_type if key else None,
    }
