"""Operations on buckets."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from ...errors import AwsError
from ...protocol.service_models import service_model
from ...protocol.sigv4 import known_regions
from . import acl, listing, object_lock
from .bucket_settings import PUBLIC_ACCESS
from .model_xml import read_payload
from .operation_context import Storage, find_bucket, read_document
from .records import Bucket
from .request import S3Request, check_tags
from .supported_members import check_document
from .version_listing import list_object_versions
from .xml import Element, document, element_text


async def list_buckets(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListBuckets."""
    return listing.list_buckets(storage.index, request)


async def create_bucket(storage: Storage, request: S3Request) -> web.StreamResponse:
    """CreateBucket; creating an own bucket again is allowed in the oldest region, as in AWS.

    A new bucket has no lists of access, blocks public access, and encrypts with S3's own key, as AWS's have.
    """
    body = await read_document(request)
    wanted: dict[str, Any] = {}
    if body.strip():
        wanted, _ = read_payload("CreateBucket", "CreateBucketConfiguration", body)
        check_document("CreateBucket", "CreateBucketConfiguration", wanted)
    region = _region(request.call.region, wanted.get("LocationConstraint"))
    known = storage.index.bucket(request.bucket)
    if known is not None:
        if (known.region, region) != ("us-east-1", "us-east-1"):
            text = "Your previous request to create the named bucket succeeded and you already own it."
            raise AwsError("BucketAlreadyOwnedByYou", text, 409, {"BucketName": request.bucket})
        return web.Response(headers={"Location": f"/{request.bucket}"})
    settings = _first_settings(request, wanted.get("Tags", []))
    storage.index.create_bucket(Bucket(request.bucket, region, time.time()), settings)
    return web.Response(headers={"Location": f"/{request.bucket}"})


def _first_settings(request: S3Request, tags: list[dict[str, str]]) -> dict[str, str]:
    """The initial configuration documents of a bucket."""
    ownership = request.headers.get("x-amz-object-ownership", "BucketOwnerEnforced")
    if ownership not in ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"):
        raise AwsError("InvalidArgument", "Invalid x-amz-object-ownership header")
    blocked: list[Element] = [(name, "true") for name in PUBLIC_ACCESS]
    settings = {
        "ownershipControls": element_text("OwnershipControls", [("Rule", [("ObjectOwnership", ownership)])]),
        "publicAccessBlock": element_text("PublicAccessBlockConfiguration", blocked),
        acl.SETTING: acl.of_new_bucket(request, ownership),
    }
    if tags:
        check_tags({tag["Key"]: tag["Value"] for tag in tags}, most=50)
        listed: list[Element] = [("Tag", [("Key", tag["Key"]), ("Value", tag["Value"])]) for tag in tags]
        settings["tagging"] = element_text("Tagging", [("TagSet", listed)])
    if request.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        settings["versioning"] = element_text("VersioningConfiguration", [("Status", "Enabled")])
        settings[object_lock.SETTING] = element_text(
            "ObjectLockConfiguration", [("ObjectLockEnabled", "Enabled")]
        )
    return settings


def _regions() -> list[str]:
    shape = service_model("s3").shape_for("BucketLocationConstraint")
    regions: list[str] = shape.metadata["enum"]
    return regions


def _region(called: str, constraint: str | None) -> str:
    """The region of a new bucket. Raises AWS's errors if request and document disagree."""
    invalid = AwsError(
        "InvalidLocationConstraint",
        "The specified location-constraint is not valid",
        400,
        {"LocationConstraint": constraint or ""},
    )
    if constraint is not None and constraint != "EU" and constraint not in {*_regions(), *known_regions()}:
        raise invalid
    region = "eu-west-1" if constraint == "EU" else constraint or "us-east-1"
    if called not in ("us-east-1", region):
        named = "unspecified" if constraint is None else constraint
        text = (
            f"The {named} location constraint is incompatible for the region specific endpoint this "
            "request was sent to."
        )
        raise AwsError("IllegalLocationConstraintException", text)
    # us-east-1 must not be given; regions that are missing in S3's model (other partitions) are accepted.
    is_listed = constraint is None or constraint in (*_regions(), "EU")
    if not is_listed and (constraint == "us-east-1" or constraint != called):
        raise invalid
    return region


async def head_bucket(storage: Storage, request: S3Request) -> web.StreamResponse:
    """HeadBucket."""
    region = find_bucket(storage, request.bucket).region
    return web.Response(headers={"x-amz-bucket-region": region}, content_type="application/xml")


async def delete_bucket(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteBucket."""
    if not storage.index.delete_bucket(request.bucket):
        members = {"BucketName": request.bucket}
        raise AwsError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409, members)
    return web.Response(status=204)


async def get_bucket_location(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketLocation."""
    region = find_bucket(storage, request.bucket).region
    # us-east-1 is returned as an empty element, as on AWS.
    return document("LocationConstraint", [] if region == "us-east-1" else region)


async def list_objects(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListObjects."""
    return listing.list_objects_v1(storage.index, request)


async def list_objects_v2(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListObjectsV2."""
    return listing.list_objects_v2(storage.index, request)


async def list_versions(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListObjectVersions."""
    return list_object_versions(storage.index, request)


async def list_uploads(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListMultipartUploads."""
    return listing.list_uploads(storage.index, request)
