"""The function of each S3 operation; other operations are rejected with an error that names them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from ...errors import AwsError
from ...protocol.call import Call
from . import acl, bucket_settings, buckets, delete, multipart, object_lock, objects
from .get_object_attributes import get_object_attributes
from .index import Index
from .operation_context import Storage, check_owner, find_bucket, strike
from .operations import identify, refuse
from .post_form import form_response
from .public_objects import find_public
from .request import S3Request, check_bucket_name, read_request
from .supported_members import check_members

_UPLOAD_THREADS = 4

Operation = Callable[[Storage, S3Request], Awaitable[web.StreamResponse]]


class ObjectStore:
    """S3 over one folder."""

    def __init__(self, index: Index) -> None:
        self._storage = Storage(index, ThreadPoolExecutor(_UPLOAD_THREADS, thread_name_prefix="s3-upload"))

    def close(self) -> None:
        """Wait for writes in progress."""
        self._storage.threads.shutdown()

    async def handle_form(self, request: S3Request) -> web.StreamResponse:
        """Run a form upload."""
        check_bucket_name(request.bucket)
        check_members(request, "PutObject")
        strike(request, "PutObject")
        _check_region(request, find_bucket(self._storage, request.bucket).region)
        return form_response(request, await objects.put_object(self._storage, request))

    async def handle(self, call: Call) -> web.StreamResponse:
        """Run the requested operation."""
        request = read_request(call)
        method = call.request.method
        name = identify(method, request.bucket, request.key, request.query, request.headers)
        operation = OPERATIONS.get(name)
        if operation is None:
            raise refuse(name)
        if request.bucket:
            check_bucket_name(request.bucket)
        check_members(request, name)
        strike(request, name)
        if self._storage.index.bucket(request.bucket) is None:
            public = find_public(name, request.bucket, request.key)
            if public is not None:
                return public
        if request.bucket and name != "CreateBucket":
            _check_region(request, find_bucket(self._storage, request.bucket).region)
            check_owner(request)
        return await operation(self._storage, request)


def _check_region(request: S3Request, region: str) -> None:
    """Raise AuthorizationHeaderMalformed for a request signed for another region than the bucket's."""
    called = request.call.region
    # A URL with the older signature contains no region.
    if request.call.signed is not None and called != region:
        text = f"The authorization header is malformed; the region '{called}' is wrong; expecting '{region}'"
        raise AwsError("AuthorizationHeaderMalformed", text, 400, {"Region": region})


_SETTINGS = bucket_settings.KINDS.values()
OPERATIONS: dict[str, Operation] = {
    "ListBuckets": buckets.list_buckets,
    "CreateBucket": buckets.create_bucket,
    "HeadBucket": buckets.head_bucket,
    "DeleteBucket": buckets.delete_bucket,
    "GetBucketLocation": buckets.get_bucket_location,
    "ListObjects": buckets.list_objects,
    "ListObjectsV2": buckets.list_objects_v2,
    "ListObjectVersions": buckets.list_versions,
    "ListMultipartUploads": buckets.list_uploads,
    "DeleteObjects": delete.delete_objects,
    "PutObject": objects.put_object,
    "CopyObject": objects.copy_object,
    "GetObject": objects.get_object,
    "HeadObject": objects.head_object,
    "DeleteObject": delete.delete_object,
    "GetObjectAttributes": get_object_attributes,
    "GetObjectTagging": objects.get_object_tagging,
    "PutObjectTagging": objects.put_object_tagging,
    "DeleteObjectTagging": objects.delete_object_tagging,
    "GetObjectAcl": acl.get_object_acl,
    "PutObjectAcl": acl.put_object_acl,
    "GetObjectRetention": object_lock.get_retention,
    "PutObjectRetention": object_lock.put_retention,
    "GetObjectLegalHold": object_lock.get_legal_hold,
    "PutObjectLegalHold": object_lock.put_legal_hold,
    "CreateMultipartUpload": multipart.create_upload,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": multipart.upload_part_copy,
    "ListParts": multipart.list_parts,
    "CompleteMultipartUpload": multipart.complete_upload,
    "AbortMultipartUpload": multipart.abort_upload,
    "GetBucketAcl": acl.get_bucket_acl,
    "PutBucketAcl": acl.put_bucket_acl,
    "GetBucketPolicy": bucket_settings.get_policy,
    "PutBucketPolicy": bucket_settings.put_policy,
    "DeleteBucketPolicy": bucket_settings.delete_policy,
    "GetBucketPolicyStatus": bucket_settings.get_policy_status,
    "GetBucketNotificationConfiguration": bucket_settings.get_notification,
    "GetBucketReplication": bucket_settings.get_replication,
    **{kind.put: bucket_settings.put_setting for kind in _SETTINGS},
    **{kind.put.replace("Put", "Get", 1): bucket_settings.get_setting for kind in _SETTINGS},
    "DeleteBucketTagging": bucket_settings.delete_setting,
    "DeletePublicAccessBlock": bucket_settings.delete_setting,
    "DeleteBucketEncryption": bucket_settings.delete_setting,
    "DeleteBucketOwnershipControls": bucket_settings.delete_setting,
    "DeleteBucketLifecycle": bucket_settings.delete_setting,
    "DeleteBucketCors": bucket_settings.delete_setting,
    "DeleteBucketWebsite": bucket_settings.delete_setting,
}
