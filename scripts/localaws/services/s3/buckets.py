"""Operations on buckets."""

from __future__ import annotations

import time

from aiohttp import web

from ...errors import AwsError
from . import listing
from .index import Bucket
from .request import S3Request
from .storage import Storage, find_bucket, read_document
from .xml import document, parse

_MAX_DELETED = 1000


async def list_buckets(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListBuckets."""
    return listing.list_buckets(storage.index, request)


async def create_bucket(storage: Storage, request: S3Request) -> web.StreamResponse:
    """CreateBucket; making one's own again is fine in the oldest region, as in AWS."""
    body = await read_document(request)
    constraint = parse(body).findtext("LocationConstraint") if body.strip() else None
    known = storage.index.bucket(request.bucket)
    if known is None:
        region = constraint or "us-east-1"
        storage.index.create_bucket(Bucket(request.bucket, region, time.time()))
    elif known.region != "us-east-1":
        text = "Your previous request to create the named bucket succeeded and you already own it."
        raise AwsError("BucketAlreadyOwnedByYou", text, 409)
    return web.Response(headers={"Location": f"/{request.bucket}"})


async def head_bucket(storage: Storage, request: S3Request) -> web.StreamResponse:
    """HeadBucket."""
    return web.Response(headers={"x-amz-bucket-region": find_bucket(storage, request.bucket).region})


async def delete_bucket(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteBucket."""
    if not storage.index.delete_bucket(request.bucket):
        raise AwsError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
    return web.Response(status=204)


async def get_bucket_location(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketLocation."""
    region = find_bucket(storage, request.bucket).region
    # The oldest region is written as nothing, as AWS does.
    return document("LocationConstraint", [] if region == "us-east-1" else region)


async def get_bucket_versioning(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketVersioning: never enabled."""
    return document("VersioningConfiguration", [])


async def list_objects(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListObjectsV2, or the older ListObjects."""
    if request.query.get("list-type") == "2":
        return listing.list_objects_v2(storage.index, request)
    return listing.list_objects_v1(storage.index, request)


async def delete_objects(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteObjects."""
    root = parse(await read_document(request))
    keys = [item.findtext("Key") for item in root.iter("Object")]
    if not 1 <= len(keys) <= _MAX_DELETED or root.tag != "Delete" or not all(keys):
        raise AwsError("MalformedXML", "Delete takes 1 to 1000 objects, each with a key.")
    for key in keys:
        storage.index.delete(request.bucket, key or "")
    is_quiet = (root.findtext("Quiet") or "").strip() == "true"
    return document("DeleteResult", [] if is_quiet else [("Deleted", [("Key", key)]) for key in keys])


async def list_uploads(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListMultipartUploads."""
    return listing.list_uploads(storage.index, request)
