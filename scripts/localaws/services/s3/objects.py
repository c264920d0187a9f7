"""Operations on whole objects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from email.utils import formatdate

from aiohttp import web

from ...errors import AwsError
from . import acl, checksums, listing
from .index import new_version
from .model_xml import read_payload
from .operation_context import (
    ARCHIVED,
    Storage,
    archived,
    broken_body,
    find_bucket,
    find_copy_source,
    find_requested,
    read_document,
    receive_file,
    version_headers,
    versioning,
)
from .records import Extent, Object
from .request import S3Request, check_conditions, check_tags, object_headers, range_of, tags_of
from .send import pieces, send
from .stored_headers import changes_attributes, encryption_headers, metadata_of, stored_attributes, written
from .supported_members import check_document
from .xml import Element, document, iso_time

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
    headers |= stored_attributes(storage, request)
    access = acl.of_request(storage, request)
    check_write(storage, request)
    extent, received = await receive_file(storage, request, "PutObject")
    try:
        # Checked again without an await before the record, because another writer may have been faster.
        find_bucket(storage, request.bucket)
        check_write(storage, request)
    except AwsError:
        storage.index.remove_files([extent])
        raise
    found = {**received.checksums, "x-amz-checksum-type": "FULL_OBJECT"} if received.checksums else {}
    version_id, sequence = new_version(versioning(storage, request.bucket) == "Enabled")
    made = Object(
        request.bucket,
        request.key,
        received.size_bytes,
        received.etag,
        time.time(),
        (extent,),
        headers,
        found,
        tags,
        version_id=version_id,
        sequence=sequence,
        acl=access,
    )
    storage.index.put(made)
    return web.Response(headers={"ETag": f'"{made.etag}"', **made.checksums, **written(storage, made)})


async def get_object(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetObject: the whole object, a range or a part."""
    found = find_requested(storage, request)
    check_conditions(request.headers, found.etag, found.modified_s)
    if found.headers.get("x-amz-storage-class") in ARCHIVED:
        raise archived(found)
    start, size_bytes, status, headers = _selection(request, found)
    headers |= version_headers(storage, found)
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
    found = find_requested(storage, request)
    check_conditions(request.headers, found.etag, found.modified_s)
    _, size_bytes, status, headers = _selection(request, found)
    headers |= version_headers(storage, found)
    response = web.StreamResponse(status=status, headers={**_headers(request, found, status), **headers})
    response.content_length = size_bytes
    return response


async def copy_object(storage: Storage, request: S3Request) -> web.StreamResponse:
    """CopyObject."""
    source = find_copy_source(storage, request)
    replaced = _directive(request, "x-amz-metadata-directive")
    retagged = _directive(request, "x-amz-tagging-directive")
    attributes = stored_attributes(storage, request)
    is_same = (source.bucket, source.key) == (request.bucket, request.key)
    if (
        is_same
        and not replaced
        and not changes_attributes(storage, request, source)
        and "?versionId=" not in request.headers["x-amz-copy-source"]
    ):
        text = (
            "This copy request is illegal because it is trying to copy an object to itself without changing "
            "the object's metadata, storage class, website redirect location or encryption attributes."
        )
        raise AwsError("InvalidRequest", text)
    check_write(storage, request)
    version_id, sequence = new_version(versioning(storage, request.bucket) == "Enabled")
    made = replace(
        source,
        bucket=request.bucket,
        key=request.key,
        modified_s=time.time(),
        headers={**(object_headers(request.headers) if replaced else metadata_of(source)), **attributes},
        checksums=await _copied_checksums(storage, request, source),
        tags=tags_of(request.headers) if retagged else source.tags,
        acl=acl.of_request(storage, request),
        version_id=version_id,
        sequence=sequence,
    )
    # The source and the destination may have changed while a checksum was computed.
    find_bucket(storage, request.bucket)
    check_write(storage, request)
    made = replace(made, extents=linked(storage, source.extents))
    storage.index.put(made)
    answer = document(
        "CopyObjectResult",
        [
            ("ETag", f'"{made.etag}"'),
            ("LastModified", iso_time(made.modified_s)),
            *listing.checksum_elements(made.checksums),
            ("ChecksumType", made.checksums.get("x-amz-checksum-type")),
        ],
    )
    answer.headers.update(written(storage, made))
    if versioning(storage, source.bucket):
        answer.headers["x-amz-copy-source-version-id"] = source.version_id
    return answer


async def _copied_checksums(storage: Storage, request: S3Request, source: Object) -> dict[str, str]:
    """The source's checksums, or one with the requested algorithm."""
    algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
    name = f"{checksums.HEADER_PREFIX}{algorithm}"
    if not algorithm or (name in source.checksums and "-" not in source.checksums[name]):
        return source.checksums
    if algorithm not in checksums.ALGORITHMS:
        raise AwsError("InvalidRequest", "Checksum algorithm provided is unsupported.")
    value = await checksum_of(storage, algorithm, source.extents)
    return {name: value, "x-amz-checksum-type": "FULL_OBJECT"}


async def checksum_of(storage: Storage, algorithm: str, extents: Sequence[Extent]) -> str:
    """The checksum of stored bytes that are being copied. Raises NoSuchKey if they no longer exist."""
    files = [(storage.index.path(part.file_id), part.offset, part.size_bytes) for part in extents]
    try:
        return await asyncio.get_running_loop().run_in_executor(
            storage.threads, checksums.of_files, algorithm, files
        )
    except FileNotFoundError as error:
        raise _source_gone() from error


def linked(storage: Storage, extents: Sequence[Extent]) -> tuple[Extent, ...]:
    """Stored bytes for a copy. Raises NoSuchKey if they no longer exist."""
    try:
        return storage.index.link(extents)
    except FileNotFoundError as error:
        raise _source_gone() from error


def _source_gone() -> AwsError:
    return AwsError("NoSuchKey", "The copy's source was removed meanwhile.", 404)


def _directive(request: S3Request, header: str) -> bool:
    """Whether a copy gets new attributes. Raises InvalidArgument."""
    directive = request.headers.get(header, "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise AwsError("InvalidArgument", f"Unknown directive in {header}.")
    return directive == "REPLACE"


async def get_object_tagging(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetObjectTagging."""
    found = find_requested(storage, request)
    tags: list[Element] = [("Tag", [("Key", name), ("Value", value)]) for name, value in found.tags.items()]
    answer = document("Tagging", [("TagSet", tags)])
    answer.headers.update(version_headers(storage, found))
    return answer


async def put_object_tagging(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutObjectTagging."""
    value, _ = read_payload("PutObjectTagging", "Tagging", await read_document(request))
    check_document("PutObjectTagging", "Tagging", value)
    tags = {tag["Key"]: tag["Value"] for tag in value["TagSet"]}
    if len(tags) != len(value["TagSet"]):
        raise AwsError("InvalidTag", "Cannot provide multiple Tags with the same key")
    check_tags(tags)
    return _retagged(storage, request, tags, 200)


async def delete_object_tagging(storage: Storage, request: S3Request) -> web.StreamResponse:
    """DeleteObjectTagging."""
    return _retagged(storage, request, {}, 204)


def _retagged(storage: Storage, request: S3Request, tags: dict[str, str], status: int) -> web.Response:
    found = find_requested(storage, request)
    storage.index.change(replace(found, tags=tags))
    return web.Response(status=status, headers=version_headers(storage, found))


def check_write(storage: Storage, request: S3Request) -> None:
    """Raise PreconditionFailed if the condition of a write is not met."""
    if "if-none-match" not in request.headers and "if-match" not in request.headers:
        return
    found = storage.index.get(request.bucket, request.key)
    if found is not None:
        check_conditions(request.headers, found.etag, found.modified_s, reading=False)
    elif "if-match" in request.headers:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404)


def _selection(request: S3Request, found: Object) -> tuple[int, int, int, dict[str, str]]:
    """(start, bytes, status, headers) of the requested part of the object."""
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
        **encryption_headers(found.headers),
        "ETag": f'"{found.etag}"',
        "Last-Modified": formatdate(found.modified_s, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if found.tags:
        headers["x-amz-tagging-count"] = str(len(found.tags))
    # The checksum is that of the whole object, so it is omitted for ranges.
    if status == 200 and request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= found.checksums
    return headers | _overrides(request.query)


def _overrides(query: Mapping[str, str]) -> dict[str, str]:
    """Response headers that a (presigned) URL overrides."""
    wanted = {name: query[f"response-{name}"] for name in _OVERRIDES if f"response-{name}" in query}
    if any(not value.isprintable() for value in wanted.values()):
        raise AwsError("InvalidArgument", "A response header override contains a control character.")
    return wanted
