"""A bucket's configuration documents: each is validated, stored, and returned unchanged.

Versioning, object lock, default encryption and ownership have an effect; the others are only stored
(docs/embedded-aws.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ...errors import AwsError
from . import object_lock
from .lifecycle import check_rules
from .model_xml import read_payload
from .operation_context import Storage, read_document
from .request import S3Request, check_tags
from .supported_members import check_document
from .xml import Element, document, element_text

Check = Callable[[Storage, str, dict[str, Any]], None]
_MOST_CORS_RULES = 100
PUBLIC_ACCESS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_SIZE_HEADER = "x-amz-transition-default-minimum-object-size"


@dataclass(frozen=True)
class Kind:
    """One kind of document."""

    name: str  # the sub-resource in the URL
    put: str
    payload: str  # the member of the operation's input
    # The response if a bucket has no such document: an error (code, text), or the root of an empty document.
    missing: tuple[str, str] | str
    check: Check | None = None


def _check_bucket_tags(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    tags = [tag["Key"] for tag in value["TagSet"]]
    if len(set(tags)) != len(tags):
        raise AwsError("InvalidTag", "Cannot provide multiple Tags with the same key")
    check_tags({tag["Key"]: tag["Value"] for tag in value["TagSet"]}, most=50)


def _check_versioning(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    if "Status" not in value:
        raise AwsError("IllegalVersioningConfigurationException", "The Versioning element must be specified")
    if value["Status"] == "Suspended" and storage.index.setting(bucket, object_lock.SETTING) is not None:
        text = (
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be "
            "changed."
        )
        raise AwsError("InvalidBucketState", text, 409)


def _check_encryption(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    if len(value["Rules"]) != 1:
        raise AwsError("MalformedXML", "An encryption configuration has one rule.")
    default = value["Rules"][0].get("ApplyServerSideEncryptionByDefault", {})
    if default.get("SSEAlgorithm") == "AES256" and "KMSMasterKeyID" in default:
        raise AwsError(
            "InvalidArgument",
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms",
        )


def _check_ownership(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    if len(value["Rules"]) != 1:
        raise AwsError("MalformedXML", "Ownership controls have one rule.")


def _check_lifecycle(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    check_rules(value["Rules"])


def _check_cors(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    if not 1 <= len(value["CORSRules"]) <= _MOST_CORS_RULES:
        raise AwsError("MalformedXML", f"A CORS configuration has 1 to {_MOST_CORS_RULES} rules.")
    for method in (method for rule in value["CORSRules"] for method in rule["AllowedMethods"]):
        if method not in ("GET", "PUT", "HEAD", "POST", "DELETE"):
            text = f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:50]}"
            raise AwsError("InvalidRequest", text)


def _check_logging(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    if "LoggingEnabled" not in value:
        return
    target = storage.index.bucket(value["LoggingEnabled"]["TargetBucket"])
    own = storage.index.bucket(bucket)
    if target is None or own is None or target.region != own.region:
        text = "The target bucket for logging does not exist in the region of the bucket"
        raise AwsError("InvalidTargetBucketForLogging", text, 400, {"TargetBucket": bucket})


def _check_public_access(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    if not value:
        raise AwsError("InvalidRequest", "Must specify at least one configuration.")


def _check_acceleration(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    if "Status" not in value:
        raise AwsError("MalformedXML", "The Status element must be specified")
    if "." in bucket:
        text = "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        raise AwsError("InvalidRequest", text)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "tagging",
            "PutBucketTagging",
            "Tagging",
            ("NoSuchTagSet", "The TagSet does not exist"),
            _check_bucket_tags,
        ),
        Kind(
            "versioning",
            "PutBucketVersioning",
            "VersioningConfiguration",
            "VersioningConfiguration",
            _check_versioning,
        ),
        Kind(
            "publicAccessBlock",
            "PutPublicAccessBlock",
            "PublicAccessBlockConfiguration",
            ("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found"),
            _check_public_access,
        ),
        Kind(
            "encryption",
            "PutBucketEncryption",
            "ServerSideEncryptionConfiguration",
            "ServerSideEncryptionConfiguration",
            _check_encryption,
        ),
        Kind(
            "ownershipControls",
            "PutBucketOwnershipControls",
            "OwnershipControls",
            ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
            _check_ownership,
        ),
        Kind(
            "lifecycle",
            "PutBucketLifecycleConfiguration",
            "LifecycleConfiguration",
            ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
            _check_lifecycle,
        ),
        Kind(
            "cors",
            "PutBucketCors",
            "CORSConfiguration",
            ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
            _check_cors,
        ),
        Kind("logging", "PutBucketLogging", "BucketLoggingStatus", "BucketLoggingStatus", _check_logging),
        Kind(
            "website",
            "PutBucketWebsite",
            "WebsiteConfiguration",
            ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
        ),
        Kind(
            object_lock.SETTING,
            "PutObjectLockConfiguration",
            "ObjectLockConfiguration",
            (
                "ObjectLockConfigurationNotFoundError",
                "Object Lock configuration does not exist for this bucket",
            ),
            object_lock.check_configuration,
        ),
        Kind(
            "accelerate",
            "PutBucketAccelerateConfiguration",
            "AccelerateConfiguration",
            "AccelerateConfiguration",
            _check_acceleration,
        ),
        Kind(
            "requestPayment",
            "PutBucketRequestPayment",
            "RequestPaymentConfiguration",
            "RequestPaymentConfiguration",
        ),
    )
}
_EMPTY: dict[str, list[Element]] = {
    "encryption": [
        (
            "Rule",
            [
                ("ApplyServerSideEncryptionByDefault", [("SSEAlgorithm", "AES256")]),
                ("BucketKeyEnabled", "false"),
            ],
        )
    ],
    "requestPayment": [("Payer", "BucketOwner")],
}


async def put_setting(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutBucketCors and similar operations."""
    kind = _kind(request)
    body = await read_document(request)
    if not body:
        raise AwsError("MissingRequestBodyError", "Request Body is empty")
    value, kept = read_payload(kind.put, kind.payload, body)
    check_document(kind.put, kind.payload, value)
    if kind.check is not None:
        kind.check(storage, request.bucket, value)
    if kind.name == "tagging" and not value["TagSet"]:
        storage.index.delete_setting(request.bucket, kind.name)
    elif kind.name != "accelerate" or _changes_acceleration(storage, request.bucket, value):
        storage.index.put_setting(request.bucket, kind.name, _completed(kind.name, value, kept))
    headers = {}
    if kind.name == "lifecycle":
        headers[_SIZE_HEADER] = request.headers.get(_SIZE_HEADER, "all_storage_classes_128K")
        storage.index.put_setting(request.bucket, _SIZE_HEADER, headers[_SIZE_HEADER])
    return web.Response(status=204 if kind.name == "tagging" else 200, headers=headers)


def _changes_acceleration(storage: Storage, bucket: str, value: dict[str, Any]) -> bool:
    """Suspending versioning that was never enabled has no effect."""
    return value["Status"] == "Enabled" or storage.index.setting(bucket, "accelerate") is not None


def _completed(kind: str, value: dict[str, Any], kept: str) -> str:
    """The document with elements that S3 returns even if the client omitted them."""
    if kind == "publicAccessBlock":
        given = [(name, str(value.get(name, False)).lower()) for name in PUBLIC_ACCESS]
        return element_text("PublicAccessBlockConfiguration", given)
    if kind == "encryption" and "BucketKeyEnabled" not in value["Rules"][0]:
        return kept.replace("</Rule>", "<BucketKeyEnabled>false</BucketKeyEnabled></Rule>")
    return kept


async def get_setting(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketCors and similar operations."""
    kind = _kind(request)
    kept = storage.index.setting(request.bucket, kind.name)
    if kept is None and isinstance(kind.missing, tuple):
        raise AwsError(*kind.missing, 404, {"BucketName": request.bucket})
    text = kept or element_text(str(kind.missing), _EMPTY.get(kind.name, []))
    size = storage.index.setting(request.bucket, _SIZE_HEADER) if kind.name == "lifecycle" else None
    return web.Response(
        body=b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode(),
        content_type="application/xml",
        headers={_SIZE_HEADER: size} if size else {},
    )


async def delete_setting(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteBucketCors and similar operations."""
    storage.index.delete_setting(request.bucket, _kind(request).name)
    return web.Response(status=204)


async def put_policy(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutBucketPolicy: stored unchanged, because the only caller is the owner."""
    body = await read_document(request)
    try:
        policy = json.loads(body)
        statements = policy["Statement"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise AwsError(
            "MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'"
        ) from error
    listed = statements if isinstance(statements, list) else [statements]
    if not all(isinstance(item, dict) and item.get("Effect") in ("Allow", "Deny") for item in listed):
        raise AwsError("MalformedPolicy", "Every statement of a policy has an Effect of Allow or Deny.")
    storage.index.put_setting(request.bucket, "policy", body.decode())
    return web.Response(status=204)


async def get_policy(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketPolicy."""
    return web.Response(text=_policy(storage, request), content_type="application/json")


async def get_policy_status(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketPolicyStatus: public if a statement without conditions allows everybody."""
    statements = json.loads(_policy(storage, request))["Statement"]
    listed = statements if isinstance(statements, list) else [statements]
    is_public = any(
        item["Effect"] == "Allow"
        and item.get("Principal") in ("*", {"AWS": "*"})
        and not item.get("Condition")
        for item in listed
    )
    return document("PolicyStatus", [("IsPublic", str(is_public).lower())])


async def delete_policy(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteBucketPolicy."""
    storage.index.delete_setting(request.bucket, "policy")
    return web.Response(status=204)


async def get_notification(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketNotificationConfiguration: none can be set."""
    return document("NotificationConfiguration", [])


async def get_replication(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketReplication: none can be set."""
    text = "The replication configuration was not found"
    raise AwsError("ReplicationConfigurationNotFoundError", text, 404, {"BucketName": request.bucket})


def _policy(storage: Storage, request: S3Request) -> str:
    kept = storage.index.setting(request.bucket, "policy")
    if kept is None:
        members = {"BucketName": request.bucket}
        raise AwsError("NoSuchBucketPolicy", "The bucket policy does not exist", 404, members)
    return kept


def _kind(request: S3Request) -> Kind:
    return next(KINDS[name] for name in request.query if name in KINDS)
