"""GetObjectAttributes: the requested attributes of an object."""

from __future__ import annotations

from email.utils import formatdate

from aiohttp import web

from ...errors import AwsError
from .listing import checksum_elements
from .operation_context import Storage, find_requested, version_headers
from .request import S3Request
from .stored_headers import storage_class
from .xml import Element, document

_NAMES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
_MAX_PARTS = 1000


async def get_object_attributes(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetObjectAttributes."""
    wanted = [name.strip() for name in request.headers.get("x-amz-object-attributes", "").split(",")]
    if not set(wanted) <= set(_NAMES):
        raise AwsError("InvalidArgument", "Invalid attribute name specified.")
    found = find_requested(storage, request)
    # Here, unlike in headers, a composite checksum comes without its number of parts.
    whole = {name: value.partition("-")[0] for name, value in found.checksums.items()}
    checksum: list[Element] = [*checksum_elements(whole)]
    if checksum:
        checksum.append(("ChecksumType", found.checksums.get("x-amz-checksum-type")))
    all_of: dict[str, Element] = {
        "ETag": ("ETag", found.etag),
        "Checksum": ("Checksum", checksum or None),
        "ObjectParts": ("ObjectParts", _parts(request, found.part_sizes_bytes)),
        "StorageClass": ("StorageClass", storage_class(found)),
        "ObjectSize": ("ObjectSize", found.size_bytes),
    }
    answer = document("GetObjectAttributesResponse", [all_of[name] for name in _NAMES if name in wanted])
    answer.headers["Last-Modified"] = formatdate(found.modified_s, usegmt=True)
    answer.headers.update(version_headers(storage, found))
    return answer


def _parts(request: S3Request, sizes_bytes: tuple[int, ...]) -> list[Element] | None:
    """The page of parts requested by the headers; the parts' checksums are not kept after completion."""
    if not sizes_bytes:
        return None
    limit, marker = (
        _number(request, "x-amz-max-parts", _MAX_PARTS),
        _number(request, "x-amz-part-number-marker", 0),
    )
    limit = min(limit, _MAX_PARTS)
    numbered = list(enumerate(sizes_bytes, 1))[marker:]
    shown = numbered[:limit]
    parts: list[Element] = [("Part", [("PartNumber", number), ("Size", size)]) for number, size in shown]
    return [
        ("PartsCount", len(sizes_bytes)),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", shown[-1][0] if shown else marker),
        ("MaxParts", limit),
        ("IsTruncated", str(len(shown) < len(numbered)).lower()),
        *parts,
    ]


def _number(request: S3Request, header: str, default: int) -> int:
    text = request.headers.get(header)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise AwsError("InvalidArgument", f"{header} must be a whole number")
    return int(text)
