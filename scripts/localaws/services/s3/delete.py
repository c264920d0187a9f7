"""DeleteObject and DeleteObjects: conditions, locks, versions and delete markers."""

from __future__ import annotations

import time

from aiohttp import web

from ...errors import AwsError
from . import object_lock
from .index import new_version
from .model_xml import read_payload
from .operation_context import Storage, check_version_id, read_document, versioning
from .records import Object
from .request import S3Request, precondition_failed
from .supported_members import check_document
from .xml import Element, document

_MAX_DELETED = 1000


async def delete_object(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteObject."""
    version_id = request.query.get("versionId")
    gone = _delete(storage, request, request.key, version_id, request.headers.get("if-match"))
    headers = {"x-amz-version-id": version_id} if version_id else {}
    if gone is not None and (gone.is_marker or versioning(storage, request.bucket)):
        headers["x-amz-version-id"] = gone.version_id
        if gone.is_marker:
            headers["x-amz-delete-marker"] = "true"
    return web.Response(status=204, headers=headers)


async def delete_objects(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteObjects; each object has a separate result."""
    value, _ = read_payload("DeleteObjects", "Delete", await read_document(request))
    check_document("DeleteObjects", "Delete", value)
    items = value["Objects"]
    if not 1 <= len(items) <= _MAX_DELETED or not all(item["Key"] for item in items):
        raise AwsError("MalformedXML", "Delete requires 1 to 1000 objects, each with a key.")
    outcomes: list[Element] = []
    for item in items:
        key, version_id = item["Key"], item.get("VersionId") or None
        names: list[Element] = [("Key", key), ("VersionId", version_id)]
        try:
            gone = _delete(storage, request, key, version_id, item.get("ETag"))
        except AwsError as error:
            outcomes.append(("Error", [*names, ("Code", error.code), ("Message", error.message)]))
            continue
        if not value.get("Quiet"):
            is_marker = gone is not None and gone.is_marker
            marker: list[Element] = (
                [("DeleteMarker", "true"), ("DeleteMarkerVersionId", gone.version_id)]
                if gone and is_marker
                else []
            )
            outcomes.append(("Deleted", [*names, *marker]))
    return document("DeleteResult", outcomes)


def _delete(
    storage: Storage, request: S3Request, key: str, version_id: str | None, etag: str | None
) -> Object | None:
    """Remove an object or a version; returns the removed version, or the created or removed delete marker."""
    bucket = request.bucket
    if version_id is not None:
        check_version_id(version_id)
        found = storage.index.version(bucket, key, version_id)
        _check_etag(found, etag)
        if found is not None:
            object_lock.check_deletable(found, request)
            storage.index.delete_version(bucket, key, version_id)
        return found
    current = storage.index.get(bucket, key)
    _check_etag(current, etag)
    status = versioning(storage, bucket)
    if not status:
        if current is not None:
            storage.index.delete_version(bucket, key, current.version_id)
        return None
    own_id, sequence = new_version(status == "Enabled")
    marker = Object(bucket, key, 0, "", time.time(), (), version_id=own_id, sequence=sequence, is_marker=True)
    storage.index.put_marker(marker)
    return marker


def _check_etag(found: Object | None, etag: str | None) -> None:
    """Raise PreconditionFailed unless the object exists with this ETag; `*` matches any."""
    if etag is None:
        return
    if found is None or found.is_marker:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
    if etag.strip() != "*" and etag.strip().strip('"') != found.etag:
        raise precondition_failed("If-Match")
