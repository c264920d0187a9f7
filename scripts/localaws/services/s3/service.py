"""Which S3 operation a request is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from ...errors import AwsError
from ...protocol.call import Call
from . import buckets, multipart, objects
from .index import Index
from .request import S3Request, read_request
from .storage import Storage, find_bucket, strike

_UPLOAD_THREADS = 4

# Sub-resources that S3 has and this store does not: asking for one must not touch the object itself.
_UNSERVED = frozenset(
    (
        *("accelerate", "acl", "analytics", "attributes", "cors", "encryption", "intelligent-tiering"),
        *("inventory", "legal-hold", "lifecycle", "logging", "metrics", "notification", "object-lock"),
        *("ownershipControls", "policy", "policyStatus", "publicAccessBlock", "replication"),
        *("requestPayment", "restore", "retention", "select", "torrent", "versionId", "versions", "website"),
    )
)

Operation = Callable[[Storage, S3Request], Awaitable[web.StreamResponse]]


class ObjectStore:
    """S3 over one folder."""

    def __init__(self, index: Index) -> None:
        self._storage = Storage(index, ThreadPoolExecutor(_UPLOAD_THREADS, thread_name_prefix="s3-upload"))

    def close(self) -> None:
        """Wait for writes in progress."""
        self._storage.threads.shutdown()

    async def handle(self, call: Call) -> web.StreamResponse:
        """Run the operation that the request asks for."""
        request = read_request(call)
        name, operation = _operation(request)
        strike(request, name)
        if request.bucket and name != "CreateBucket":
            find_bucket(self._storage, request.bucket)
        return await operation(self._storage, request)


def _operation(request: S3Request) -> tuple[str, Operation]:
    """The operation's name in AWS's words, and what runs it. Raises NotImplemented or MethodNotAllowed."""
    query, method = request.query, request.call.request.method
    if unserved := _UNSERVED & query.keys():
        text = f"The embedded AWS does not serve the sub-resource {min(unserved)}."
        raise AwsError("NotImplemented", text, 501)
    if request.key:
        kind = (
            "uploadId" if "uploadId" in query else next((k for k in ("uploads", "tagging") if k in query), "")
        )
        is_copy = "x-amz-copy-source" in request.headers and method == "PUT" and kind != "tagging"
        found = _OBJECT_OPERATIONS.get((method, kind, is_copy))
    elif request.bucket:
        flags = ("location", "versioning", "uploads", "delete", "tagging")
        kind = next((flag for flag in flags if flag in query), "")
        found = _BUCKET_OPERATIONS.get((method, kind))
    else:
        found = ("ListBuckets", buckets.list_buckets) if method == "GET" else None
    if found is None:
        raise AwsError(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            405,
            {"Method": method},
        )
    return found


_BUCKET_OPERATIONS: dict[tuple[str, str], tuple[str, Operation]] = {
    ("PUT", ""): ("CreateBucket", buckets.create_bucket),
    ("HEAD", ""): ("HeadBucket", buckets.head_bucket),
    ("DELETE", ""): ("DeleteBucket", buckets.delete_bucket),
    ("GET", ""): ("ListObjects", buckets.list_objects),
    ("GET", "location"): ("GetBucketLocation", buckets.get_bucket_location),
    ("GET", "versioning"): ("GetBucketVersioning", buckets.get_bucket_versioning),
    ("GET", "uploads"): ("ListMultipartUploads", buckets.list_uploads),
    ("POST", "delete"): ("DeleteObjects", buckets.delete_objects),
}
_OBJECT_OPERATIONS: dict[tuple[str, str, bool], tuple[str, Operation]] = {
    ("PUT", "", False): ("PutObject", objects.put_object),
    ("PUT", "", True): ("CopyObject", objects.copy_object),
    ("GET", "", False): ("GetObject", objects.get_object),
    ("HEAD", "", False): ("HeadObject", objects.head_object),
    ("DELETE", "", False): ("DeleteObject", objects.delete_object),
    ("GET", "tagging", False): ("GetObjectTagging", objects.get_object_tagging),
    ("PUT", "tagging", False): ("PutObjectTagging", objects.put_object_tagging),
    ("DELETE", "tagging", False): ("DeleteObjectTagging", objects.delete_object_tagging),
    ("POST", "uploads", False): ("CreateMultipartUpload", multipart.create_upload),
    ("PUT", "uploadId", False): ("UploadPart", multipart.upload_part),
    ("PUT", "uploadId", True): ("UploadPartCopy", multipart.upload_part_copy),
    ("GET", "uploadId", False): ("ListParts", multipart.list_parts),
    ("POST", "uploadId", False): ("CompleteMultipartUpload", multipart.complete_upload),
    ("DELETE", "uploadId", False): ("AbortMultipartUpload", multipart.abort_upload),
}
