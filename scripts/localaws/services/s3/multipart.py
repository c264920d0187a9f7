"""Multipart uploads: create, upload part, copy part, complete, abort."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aiohttp import web

from ...errors import AwsError
from . import acl, checksums, listing
from .index import Index, new_version
from .model_xml import read_payload
from .objects import check_write, checksum_of, linked
from .operation_context import Storage, find_copy_source, read_document, receive_file, versioning
from .receive import sent_algorithm
from .records import Extent, Object, Part, Upload
from .request import S3Request, copied_range, object_headers, tags_of
from .send import pieces
from .stored_headers import encryption_headers, stored_attributes, written
from .supported_members import check_document
from .xml import document, iso_time, malformed

MAX_PART_NUMBER = 10_000
_MIN_PART_BYTES = 5 << 20


def find_upload(storage: Storage, request: S3Request) -> Upload:
    """The upload that the request names. Raises NoSuchUpload."""
    upload = storage.index.upload(request.bucket, request.key, request.query["uploadId"])
    if upload is None:
        raise _no_such_upload(request)
    return upload


def _no_such_upload(request: S3Request) -> AwsError:
    text = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
        "aborted or completed."
    )
    return AwsError("NoSuchUpload", text, 404, {"UploadId": request.query["uploadId"]})


async def create_upload(storage: Storage, request: S3Request) -> web.StreamResponse:
    """CreateMultipartUpload."""
    algorithm = request.headers.get("x-amz-checksum-algorithm")
    kind = request.headers.get("x-amz-checksum-type")
    if algorithm is not None and algorithm.lower() not in checksums.ALGORITHMS:
        raise AwsError("InvalidRequest", "Checksum algorithm provided is unsupported.")
    if kind not in (None, "COMPOSITE", "FULL_OBJECT") or (kind and not algorithm):
        raise AwsError("InvalidRequest", "The x-amz-checksum-type header is invalid.")
    if algorithm and kind is None:
        kind = "FULL_OBJECT" if algorithm.lower() == "crc64nvme" else "COMPOSITE"
    if algorithm and kind == "FULL_OBJECT" and not checksums.is_crc(algorithm.lower()):
        raise AwsError("InvalidRequest", f"FULL_OBJECT is not possible with {algorithm}.")
    upload = Upload(
        secrets.token_urlsafe(48),
        request.bucket,
        request.key,
        time.time(),
        {**object_headers(request.headers), **stored_attributes(storage, request)},
        tags_of(request.headers),
        algorithm.lower() if algorithm else None,
        kind,
        acl.of_request(storage, request),
    )
    storage.index.create_upload(upload)
    response = document(
        "InitiateMultipartUploadResult",
        [("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.upload_id)],
    )
    response.headers.update(encryption_headers(upload.headers))
    if upload.checksum_algorithm and upload.checksum_type:
        response.headers["x-amz-checksum-algorithm"] = upload.checksum_algorithm.upper()
        response.headers["x-amz-checksum-type"] = upload.checksum_type
    return response


def part_number(request: S3Request) -> int:
    """The part's number. Raises InvalidArgument."""
    return request.number("partNumber", 1, MAX_PART_NUMBER)


async def upload_part(storage: Storage, request: S3Request) -> web.StreamResponse:
    """UploadPart."""
    upload = find_upload(storage, request)
    number = part_number(request)
    expected, given = upload.checksum_algorithm, sent_algorithm(request.headers.get)
    if expected is not None and given not in (None, expected):
        text = f"expected checksum Type: {expected}, actual checksum Type: {given}"
        raise AwsError("InvalidRequest", f"Checksum Type mismatch occurred, {text}")
    extent, received = await receive_file(storage, request, "UploadPart")
    part = Part(number, received.size_bytes, received.etag, time.time(), (extent,), received.checksums)
    _record(storage, request, part)
    encryption = encryption_headers(upload.headers)
    return web.Response(headers={"ETag": f'"{part.etag}"', **part.checksums, **encryption})


async def upload_part_copy(storage: Storage, request: S3Request) -> web.StreamResponse:
    """UploadPartCopy."""
    upload = find_upload(storage, request)
    number = part_number(request)
    source = find_copy_source(storage, request)
    wanted = request.headers.get("x-amz-copy-source-range")
    start, size_bytes = copied_range(wanted, source.size_bytes)
    extents = [Extent(*piece) for piece in pieces(source.extents, start, size_bytes)]
    # An object's MD5 is its ETag only if it was uploaded in one piece; for a copied part any unique tag is
    # valid.
    etag = source.etag if wanted is None and "-" not in source.etag else _tag_of(source, start, size_bytes)
    found: dict[str, str] = {}
    if (algorithm := upload.checksum_algorithm) is not None:
        found = {f"{checksums.HEADER_PREFIX}{algorithm}": await checksum_of(storage, algorithm, extents)}
    part = Part(number, size_bytes, etag, time.time(), linked(storage, extents), found)
    _record(storage, request, part)
    return document(
        "CopyPartResult",
        [
            ("ETag", f'"{part.etag}"'),
            ("LastModified", iso_time(part.modified_s)),
            *listing.checksum_elements(part.checksums),
        ],
    )


async def list_parts(storage: Storage, request: S3Request) -> web.StreamResponse:
    """ListParts."""
    find_upload(storage, request)
    return listing.list_parts(storage.index, request)


async def complete_upload(storage: Storage, request: S3Request) -> web.StreamResponse:
    """CompleteMultipartUpload."""
    body = await read_document(request, speaks_of_object=True)
    value, _ = read_payload("CompleteMultipartUpload", "MultipartUpload", body)
    check_document("CompleteMultipartUpload", "MultipartUpload", value)
    if (made := _completed_before(storage, request, value)) is not None:
        return _completed(storage, request, made)
    # There is no await from here on, so no other request can end this upload or write this key in between.
    upload = find_upload(storage, request)
    parts = _chosen_parts(storage.index, upload, value)
    check_write(storage, request)
    _check_claims(request, upload, parts)
    version_id, sequence = new_version(versioning(storage, request.bucket) == "Enabled")
    made = replace(_assembled(request, upload, parts), version_id=version_id, sequence=sequence)
    storage.index.put(made, upload.upload_id)
    return _completed(storage, request, made)


def _completed_before(storage: Storage, request: S3Request, value: dict[str, Any]) -> Object | None:
    """The object, if this upload has become it already: a client repeats a call whose answer it lost."""
    if storage.index.upload(request.bucket, request.key, request.query["uploadId"]) is not None:
        return None
    found = storage.index.get(request.bucket, request.key)
    try:
        etag = _etag_of([item["ETag"].strip().strip('"') for item in value.get("Parts", [])])
    except (KeyError, ValueError):
        return None
    return found if found is not None and found.etag == etag else None


def _completed(storage: Storage, request: S3Request, made: Object) -> web.Response:
    answer = document(
        "CompleteMultipartUploadResult",
        [
            ("Location", f"{request.call.emulator.endpoint_url}/{made.bucket}/{made.key}"),
            ("Bucket", made.bucket),
            ("Key", made.key),
            ("ETag", f'"{made.etag}"'),
            *listing.checksum_elements(made.checksums),
            ("ChecksumType", made.checksums.get("x-amz-checksum-type")),
        ],
    )
    answer.headers.update(written(storage, made))
    return answer


async def abort_upload(storage: Storage, request: S3Request) -> web.StreamResponse:
    """AbortMultipartUpload."""
    find_upload(storage, request)
    storage.index.delete_upload(request.query["uploadId"])
    return web.Response(status=204)


def _record(storage: Storage, request: S3Request, part: Part) -> None:
    """Record a part. Raises NoSuchUpload if the upload has ended meanwhile."""
    if not storage.index.put_part(request.query["uploadId"], part):
        storage.index.remove_files(part.extents)
        raise _no_such_upload(request)


def _check_claims(request: S3Request, upload: Upload, parts: Sequence[Part]) -> None:
    """Raise InvalidRequest if the size or the checksum type differs from what the client expects."""
    size = request.headers.get("x-amz-mp-object-size")
    if size is not None and size != str(sum(part.size_bytes for part in parts)):
        raise AwsError(
            "InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match what was computed."
        )
    kind = request.headers.get("x-amz-checksum-type")
    if kind is not None and kind != upload.checksum_type:
        raise AwsError(
            "InvalidRequest", f"The upload's checksum type is {upload.checksum_type}, not {kind[:20]}."
        )


def _assembled(request: S3Request, upload: Upload, parts: Sequence[Part]) -> Object:
    """The object made of the parts; its ETag is the MD5 of the parts' MD5s, as in S3."""
    return Object(
        upload.bucket,
        upload.key,
        sum(part.size_bytes for part in parts),
        _etag_of([part.etag for part in parts]),
        time.time(),
        tuple(extent for part in parts for extent in part.extents),
        upload.headers,
        _checksums(request, upload, parts),
        upload.tags,
        tuple(part.size_bytes for part in parts),
        acl=upload.acl,
    )


def _etag_of(etags: Sequence[str]) -> str:
    digest = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in etags), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(etags)}"


def _chosen_parts(index: Index, upload: Upload, completion: dict[str, Any]) -> list[Part]:
    """The parts that the client lists. Raises AWS's error if one is missing, too small or out of order."""
    known = {part.number: part for part in index.parts(upload.upload_id)}
    chosen: list[Part] = []
    for item in completion.get("Parts", []):
        number, etag = item.get("PartNumber", 0), item.get("ETag", "").strip().strip('"')
        if not 1 <= number <= MAX_PART_NUMBER:
            raise AwsError("MalformedXML", "A part has no number.")
        if chosen and number <= chosen[-1].number:
            raise AwsError("InvalidPartOrder", "The list of parts was not in ascending order.")
        part = known.get(number)
        if part is None or part.etag != etag:
            text = "One or more of the specified parts could not be found, or its entity tag is another."
            raise AwsError("InvalidPart", text)
        for name, value in part.checksums.items():
            claimed = item.get("Checksum" + name.removeprefix(checksums.HEADER_PREFIX).upper())
            if claimed is not None and claimed != value:
                raise AwsError("InvalidPart", f"The {name} of part {number} is another.")
        chosen.append(part)
    if not chosen:
        raise malformed()
    if any(part.size_bytes < _MIN_PART_BYTES for part in chosen[:-1]):
        text = "Your proposed upload is smaller than the minimum allowed size"
        raise AwsError("EntityTooSmall", text)
    return chosen


def _checksums(request: S3Request, upload: Upload, parts: Sequence[Part]) -> dict[str, str]:
    """The object's checksum, if every part has one. Raises BadDigest if it is not the expected one."""
    algorithm, kind = upload.checksum_algorithm, upload.checksum_type
    name = f"{checksums.HEADER_PREFIX}{algorithm}"
    if algorithm is None or kind is None or any(name not in part.checksums for part in parts):
        return {}
    if kind == "FULL_OBJECT":
        value = checksums.full_object(algorithm, [(part.checksums[name], part.size_bytes) for part in parts])
    else:
        value = checksums.composite(algorithm, [part.checksums[name] for part in parts])
    claimed = request.headers.get(name)
    if claimed is not None and claimed not in (value, value.rpartition("-")[0]):
        raise AwsError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    return {name: value, "x-amz-checksum-type": kind}


def _tag_of(source: Object, start: int, size_bytes: int) -> str:
    text = f"{source.etag} {start} {size_bytes}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
