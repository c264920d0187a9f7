"""What every S3 operation works with, and the steps that several of them share."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

from ...errors import AwsError
from ...protocol.body import read_body
from ...settings import FaultKind, FaultSpec
from . import checksums
from .index import Bucket, Extent, Index, Object
from .receive import Received, receive
from .request import S3Request, check_conditions

_MAX_DOCUMENT_BYTES = 2 << 20
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


def find_object(storage: Storage, bucket: str, key: str) -> Object:
    """The object. Raises NoSuchKey."""
    found = storage.index.get(bucket, key)
    if found is None:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})
    return found


def find_copy_source(storage: Storage, request: S3Request) -> Object:
    """The object that x-amz-copy-source names, its conditions checked."""
    address = request.headers["x-amz-copy-source"].partition("?")[0]
    bucket, _, key = unquote(address).removeprefix("/").partition("/")
    if not bucket or not key:
        raise AwsError("InvalidArgument", "Copy Source must mention the source bucket and key")
    find_bucket(storage, bucket)
    source = find_object(storage, bucket, key)
    check_conditions(request.headers, source.etag, source.modified_s, "x-amz-copy-source-", reading=False)
    return source


async def read_document(request: S3Request) -> bytes:
    """A small body, checked against the signature and the MD5 or checksum that the client claims."""
    body = await read_body(request.call.request, _MAX_DOCUMENT_BYTES)
    promised = request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if promised != "UNSIGNED-PAYLOAD" and promised.lower() != hashlib.sha256(body).hexdigest():
        text = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise AwsError("XAmzContentSHA256Mismatch", text)
    # On CompleteMultipartUpload the checksum headers speak of the object, not of this document.
    names = {"Content-MD5": "md5"}
    if not request.key:
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
    received = await receive(call, path, storage.threads, transfer, reset)
    return Extent(file_id, 0, received.size_bytes), received


def strike(request: S3Request, operation: str) -> None:
    """Fail before anything is done, where that was ordered."""
    faults, fields = request.call.emulator.faults, match(request, operation)
    if faults.take("expired_token", **fields):
        raise AwsError("ExpiredToken", "The provided token has expired.", 400)
    if faults.take("access_denied", **fields):
        raise AwsError("AccessDenied", "Access Denied", 403)
    if faults.take("slow_down", **fields) or faults.take("throttling", **fields):
        raise AwsError("SlowDown", "Please reduce your request rate.", 503)


def broken_body(request: S3Request, operation: str) -> FaultSpec | None:
    """The failure that was ordered for the body of this answer."""
    fields = match(request, operation)
    struck = (request.call.emulator.faults.take(kind, **fields) for kind in _BROKEN_BODIES)
    return next((fault for fault in struck if fault), None)


def match(request: S3Request, operation: str) -> dict[str, str | None]:
    """What a fault's match fields are compared with."""
    key = request.call.emulator.keys.get(request.call.access_key_id)
    return {
        "service": "s3",
        "operation": operation,
        "bucket": request.bucket,
        "key": request.key,
        "access_key_id": request.call.access_key_id,
        "instance_type": key.instance_type if key else None,
    }
