"""Operations on whole objects."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate

from aiohttp import web

from ...errors import AwsError
from . import listing
from .index import Object
from .request import S3Request, check_conditions, check_tags, object_headers, range_of, tags_of
from .send import pieces, send
from .storage import Storage, broken_body, find_copy_source, find_object, read_document, receive_file
from .xml import document, iso_time, parse

_OVERRIDES = (
    "content-type",
    "content-language",
    "expires",
    "cache-control",
    "content-disposition",
    "content-encoding",
)


async def put_object(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutObject."""
    headers, tags = object_headers(request.headers), tags_of(request.headers)
    check_write(storage, request)
    extent, received = await receive_file(storage, request, "PutObject")
    try:
        # Again, without an await before the record: another writer may have been faster meanwhile.
        check_write(storage, request)
    except AwsError:
        storage.index.remove_files([extent])
        raise
    checksums = {**received.checksums, "x-amz-checksum-type": "FULL_OBJECT"} if received.checksums else {}
    made = Object(
        request.bucket,
        request.key,
        received.size_bytes,
        received.etag,
        time.time(),
        (extent,),
        headers,
        checksums,
        tags,
    )
    storage.index.put(made)
    return web.Response(headers={"ETag": f'"{made.etag}"', **made.checksums})


async def get_object(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetObject, all of it, a range or a part."""
    found = find_object(storage, request.bucket, request.key)
    check_conditions(request.headers, found.etag, found.modified_s)
    start, size_bytes, status, headers = _selection(request, found)
    response = web.StreamResponse(status=status, headers={**_headers(request, found, status), **headers})
    response.content_length = size_bytes
    transfer = request.call.emulator.network.transfer(request.call.access_key_id, "to_client")
    return await send(
        request.call.request,
        response,
        pieces(found.extents, start, size_bytes),
        storage.index.path,
        transfer,
        broken_body(request, "GetObject"),
    )


async def head_object(storage: Storage, request: S3Request) -> web.StreamResponse:
    """HeadObject."""
    found = find_object(storage, request.bucket, request.key)
    check_conditions(request.headers, found.etag, found.modified_s)
    _, size_bytes, status, headers = _selection(request, found)
    response = web.StreamResponse(status=status, headers={**_headers(request, found, status), **headers})
    response.content_length = size_bytes
    return response


async def delete_object(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteObject."""
    storage.index.delete(request.bucket, request.key)
    return web.Response(status=204)


async def copy_object(storage: Storage, request: S3Request) -> web.StreamResponse:
    """CopyObject."""
    source = find_copy_source(storage, request)
    replaced = request.headers.get("x-amz-metadata-directive", "COPY") == "REPLACE"
    retagged = request.headers.get("x-amz-tagging-directive", "COPY") == "REPLACE"
    if (source.bucket, source.key) == (request.bucket, request.key) and not replaced:
        text = "This copy request is illegal: it would copy an object to itself without changing anything."
        raise AwsError("InvalidRequest", text)
    made = replace(
        source,
        bucket=request.bucket,
        key=request.key,
        modified_s=time.time(),
        extents=storage.index.link(source.extents),
        headers=object_headers(request.headers) if replaced else source.headers,
        tags=tags_of(request.headers) if retagged else source.tags,
    )
    storage.index.put(made)
    return document(
        "CopyObjectResult",
        [
            ("ETag", f'"{made.etag}"'),
            ("LastModified", iso_time(made.modified_s)),
            *listing.checksum_elements(made.checksums),
        ],
    )


async def get_object_tagging(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetObjectTagging."""
    tags = find_object(storage, request.bucket, request.key).tags.items()
    return document(
        "Tagging",
        [("TagSet", [("Tag", [("Key", name), ("Value", value)]) for name, value in tags])],
    )


async def put_object_tagging(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutObjectTagging."""
    root = parse(await read_document(request))
    tags = {item.findtext("Key") or "": item.findtext("Value") or "" for item in root.iter("Tag")}
    check_tags(tags)
    storage.index.put(replace(find_object(storage, request.bucket, request.key), tags=tags))
    return web.Response()


async def delete_object_tagging(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteObjectTagging."""
    storage.index.put(replace(find_object(storage, request.bucket, request.key), tags={}))
    return web.Response(status=204)


def check_write(storage: Storage, request: S3Request) -> None:
    """Raise PreconditionFailed where a conditional write does not hold."""
    if "if-none-match" not in request.headers and "if-match" not in request.headers:
        return
    found = storage.index.get(request.bucket, request.key)
    if found is not None:
        check_conditions(request.headers, found.etag, found.modified_s, reading=False)
    elif "if-match" in request.headers:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404)


def _selection(request: S3Request, found: Object) -> tuple[int, int, int, dict[str, str]]:
    """(start, bytes, status, headers) of what the request wants of the object."""
    headers: dict[str, str] = {}
    if "partNumber" in request.query:
        number = request.number("partNumber", 1, 10_000)
        sizes = found.part_sizes_bytes or (found.size_bytes,)
        if number > len(sizes):
            raise AwsError("InvalidPartNumber", "The requested partnumber is not satisfiable", 416)
        wanted: tuple[int, int] | None = (sum(sizes[: number - 1]), sizes[number - 1])
        if found.part_sizes_bytes:
            headers["x-amz-mp-parts-count"] = str(len(sizes))
    else:
        wanted = range_of(request.headers.get("range"), found.size_bytes)
    if wanted is None:
        return 0, found.size_bytes, 200, headers
    start, size_bytes = wanted
    if size_bytes:
        headers["Content-Range"] = f"bytes {start}-{start + size_bytes - 1}/{found.size_bytes}"
    return start, size_bytes, 206, headers


def _headers(request: S3Request, found: Object, status: int) -> dict[str, str]:
    headers = {
        **found.headers,
        "ETag": f'"{found.etag}"',
        "Last-Modified": formatdate(found.modified_s, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if found.tags:
        headers["x-amz-tagging-count"] = str(len(found.tags))
    # The checksum is that of the whole object: with a range it would only mislead.
    if status == 200 and request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= found.checksums
    return headers | _overrides(request.query)


def _overrides(query: Mapping[str, str]) -> dict[str, str]:
    """Headers that a (presigned) address asks for in place of the object's own."""
    wanted = {name: query[f"response-{name}"] for name in _OVERRIDES if f"response-{name}" in query}
    if any(not value.isprintable() for value in wanted.values()):
        raise AwsError("InvalidArgument", "A response header override holds a control character.")
    return wanted
