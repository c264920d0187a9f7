"""The supported members of S3 operations; all others are rejected with an error that names them."""

from __future__ import annotations

from typing import Any

from ...errors import AwsError
from ...protocol.service_models import service_model
from .. import supported_members
from . import checksums
from .operations import members_at, refuse
from .request import S3Request

_BUCKET = ("Bucket", "ExpectedBucketOwner")
_OBJECT = (*_BUCKET, "Key", "RequestPayer")
_VERSION = (*_OBJECT, "VersionId")
_DOCUMENT = ("ContentMD5", "ChecksumAlgorithm")
_CHECKSUMS = (
    *("ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256"),
    "ChecksumAlgorithm",
)
_BODY = (*_CHECKSUMS, "Body", "ContentLength", "ContentMD5")
_GRANTS = ("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP")
_BUCKET_GRANTS = (*_GRANTS, "GrantWrite")
_METADATA = (
    *("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires"),
    *("Metadata", "Tagging", "WebsiteRedirectLocation"),
)
_STORED = (
    *_METADATA,
    *_GRANTS,
    *("StorageClass", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled"),
    *("ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"),
)
_SOURCE = (
    *("CopySource", "CopySourceIfMatch", "CopySourceIfModifiedSince", "CopySourceIfNoneMatch"),
    *("CopySourceIfUnmodifiedSince", "ExpectedSourceBucketOwner"),
)
_READ = (
    *(
        "IfMatch",
        "IfModifiedSince",
        "IfNoneMatch",
        "IfUnmodifiedSince",
        "Range",
        "PartNumber",
        "ChecksumMode",
    ),
    *("ResponseCacheControl", "ResponseContentDisposition", "ResponseContentEncoding"),
    *("ResponseContentLanguage", "ResponseContentType", "ResponseExpires"),
)
_LISTED = (*_BUCKET, "RequestPayer", "Delimiter", "EncodingType", "Prefix")
_KEYS = (*_LISTED, "MaxKeys", "OptionalObjectAttributes")


def _kept(payload: str) -> tuple[str, ...]:
    """A configuration document that is stored and returned unchanged."""
    return (*_BUCKET, *_DOCUMENT, f"{payload}.*")


HONOURED: dict[str, tuple[str, ...]] = {
    "ListBuckets": ("MaxBuckets", "ContinuationToken", "Prefix", "BucketRegion"),
    "CreateBucket": (
        *("Bucket", *_BUCKET_GRANTS, "ObjectLockEnabledForBucket", "ObjectOwnership"),
        *("CreateBucketConfiguration", "CreateBucketConfiguration.LocationConstraint"),
        "CreateBucketConfiguration.Tags.*",
    ),
    "HeadBucket": _BUCKET,
    "DeleteBucket": _BUCKET,
    "GetBucketLocation": _BUCKET,
    "ListObjects": (*_KEYS, "Marker"),
    "ListObjectsV2": (*_KEYS, "ContinuationToken", "FetchOwner", "StartAfter"),
    "ListObjectVersions": (*_KEYS, "KeyMarker", "VersionIdMarker"),
    "ListMultipartUploads": (*_LISTED, "KeyMarker", "MaxUploads", "UploadIdMarker"),
    "DeleteObjects": (
        *(*_BUCKET, "RequestPayer", "BypassGovernanceRetention", "ChecksumAlgorithm"),
        *("Delete", "Delete.Quiet", "Delete.Objects", "Delete.Objects.Key"),
        *("Delete.Objects.VersionId", "Delete.Objects.ETag"),
    ),
    "PutObject": (*_OBJECT, *_BODY, *_STORED, "IfMatch", "IfNoneMatch"),
    "CopyObject": (
        *(*_OBJECT, *_STORED, *_SOURCE, "ChecksumAlgorithm", "IfMatch", "IfNoneMatch"),
        *("MetadataDirective", "TaggingDirective"),
    ),
    "GetObject": (*_VERSION, *_READ),
    "HeadObject": (*_VERSION, *_READ),
    "DeleteObject": (*_VERSION, "BypassGovernanceRetention", "IfMatch"),
    "GetObjectAttributes": (*_VERSION, "MaxParts", "PartNumberMarker", "ObjectAttributes"),
    "GetObjectTagging": _VERSION,
    "PutObjectTagging": (*_VERSION, *_DOCUMENT, "Tagging.*"),
    "DeleteObjectTagging": (*_BUCKET, "Key", "VersionId"),
    "GetObjectAcl": _VERSION,
    "PutObjectAcl": (*_VERSION, *_DOCUMENT, *_GRANTS, "GrantWrite", "AccessControlPolicy.*"),
    "GetObjectRetention": _VERSION,
    "PutObjectRetention": (*_VERSION, *_DOCUMENT, "BypassGovernanceRetention", "Retention.*"),
    "GetObjectLegalHold": _VERSION,
    "PutObjectLegalHold": (*_VERSION, *_DOCUMENT, "LegalHold.*"),
    "CreateMultipartUpload": (*_OBJECT, *_STORED, "ChecksumAlgorithm", "ChecksumType"),
    "UploadPart": (*_OBJECT, *_BODY, "PartNumber", "UploadId"),
    "UploadPartCopy": (*_OBJECT, *_SOURCE, "CopySourceRange", "PartNumber", "UploadId"),
    "ListParts": (*_OBJECT, "MaxParts", "PartNumberMarker", "UploadId"),
    "CompleteMultipartUpload": (
        *(*_OBJECT, *_CHECKSUMS[:-1], "ChecksumType", "MpuObjectSize", "IfMatch", "IfNoneMatch", "UploadId"),
        *("MultipartUpload", "MultipartUpload.Parts", "MultipartUpload.Parts.PartNumber"),
        *(f"MultipartUpload.Parts.{name}" for name in ("ETag", *_CHECKSUMS[:-1])),
    ),
    "AbortMultipartUpload": (*_OBJECT, "UploadId"),
    "PutBucketTagging": _kept("Tagging"),
    "PutBucketVersioning": (
        *(*_BUCKET, *_DOCUMENT, "VersioningConfiguration", "VersioningConfiguration.Status"),
    ),
    "PutPublicAccessBlock": _kept("PublicAccessBlockConfiguration"),
    "PutBucketEncryption": _kept("ServerSideEncryptionConfiguration"),
    "PutBucketOwnershipControls": _kept("OwnershipControls"),
    "PutBucketLifecycleConfiguration": (
        *(*_BUCKET, "ChecksumAlgorithm", "LifecycleConfiguration.*", "TransitionDefaultMinimumObjectSize"),
    ),
    "PutBucketPolicy": (*_kept("Policy"), "ConfirmRemoveSelfBucketAccess"),
    "PutBucketCors": _kept("CORSConfiguration"),
    "PutBucketLogging": _kept("BucketLoggingStatus"),
    "PutBucketWebsite": _kept("WebsiteConfiguration"),
    "PutBucketAcl": (*_BUCKET, *_DOCUMENT, *_BUCKET_GRANTS, "AccessControlPolicy.*"),
    "PutObjectLockConfiguration": (*_kept("ObjectLockConfiguration"), "RequestPayer", "Token"),
    "PutBucketAccelerateConfiguration": (*_BUCKET, "ChecksumAlgorithm", "AccelerateConfiguration.*"),
    "PutBucketRequestPayment": _kept("RequestPaymentConfiguration"),
    **{
        f"GetBucket{name}": _BUCKET
        for name in (
            *("Tagging", "Versioning", "Encryption", "OwnershipControls", "LifecycleConfiguration", "Policy"),
            *("PolicyStatus", "Cors", "Logging", "Website", "Acl", "NotificationConfiguration"),
        )
    },
    "GetBucketAccelerateConfiguration": (*_BUCKET, "RequestPayer"),
    "GetBucketRequestPayment": _BUCKET,
    "GetBucketReplication": _BUCKET,
    "GetPublicAccessBlock": _BUCKET,
    "GetObjectLockConfiguration": _BUCKET,
    **{
        f"DeleteBucket{name}": _BUCKET
        for name in ("Tagging", "Encryption", "OwnershipControls", "Lifecycle", "Policy", "Cors", "Website")
    },
    "DeletePublicAccessBlock": _BUCKET,
}

# Headers of the transport and the signature, and those that SDKs add for logs.
_TRANSPORT = frozenset(
    (
        *("x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-user-agent", "x-amz-trailer"),
        *("x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm", "x-amz-te", "x-amz-sdk-request"),
        *("x-amz-id-2", "x-amz-api-version"),  # the C++ SDK, of the Run:ai model streamer, sends the latter
    )
)
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def check_members(request: S3Request, operation: str) -> None:
    """Raise NotImplemented for an unsupported operation or member."""
    names = HONOURED.get(operation)
    if names is None:
        raise refuse(operation)
    model = service_model("s3").operation_model(operation)
    for parameter, member in members_at(model, "querystring").items():
        if parameter in request.query and member not in names:
            raise _refused(f"the parameter {parameter}", operation)
    headers = {name.lower(): member for name, member in members_at(model, "header").items()}
    for header in {name.lower() for name in request.headers}:
        named = headers.get(header)
        if named is None and header.startswith("x-amz-meta-") and "Metadata" in names:
            continue
        if named is not None and named not in names:
            raise _refused(f"the header {header}", operation)
        if named is None and header in checksums.HEADERS and "ChecksumAlgorithm" in names:
            continue  # part of the request's document, and checked with it
        if named is None and header.startswith("x-amz-") and header not in _TRANSPORT:
            raise _refused(f"the header {header}", operation)
        # For reads without such members, HTTP's conditions only concern caches.
        is_write = model.http["method"] not in ("GET", "HEAD")
        if named is None and is_write and header in _CONDITIONS:
            raise _refused(f"the header {header}", operation)


def check_document(operation: str, payload: str, value: Any) -> None:
    """Raise NotImplemented for an unsupported element of a parsed document."""
    shape = service_model("s3").operation_model(operation).input_shape
    if refused := supported_members.refused_in(shape, {payload: value}, HONOURED[operation]):
        raise _refused(f"the element {', '.join(refused)}", operation)


def _refused(what: str, operation: str) -> AwsError:
    text = (
        "A header, parameter or element you provided implies functionality that is not implemented: the "
        f"embedded AWS does not support {what} of {operation}."
    )
    return AwsError("NotImplemented", text, 501)
