"""ListObjectVersions: every version and delete marker, newest first within a key."""

from __future__ import annotations

from aiohttp import web

from ...errors import AwsError
from .index import Index, sequence_of
from .listing import behind, common_prefixes, encoder, owner
from .records import NULL_VERSION, Object
from .request import S3Request
from .stored_headers import storage_class
from .xml import Element, document, iso_time

_MAX_KEYS = 1000
# Greater than every sequence: a page that starts with all versions of a key.
_ALL = 1 << 62


def list_object_versions(index: Index, request: S3Request) -> web.Response:
    """One page; its markers name a key and a version's position, which stay valid if it is deleted."""
    query = request.query
    max_keys = request.number("max-keys", 0, _MAX_KEYS, _MAX_KEYS)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker, version_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
    if version_marker and not key_marker:
        raise AwsError("InvalidArgument", "A version-id marker cannot be specified without a key marker.")
    entries: list[Element] = []
    prefixes: list[str] = []
    key, before = key_marker, _sequence(index, request, key_marker, version_marker)
    if delimiter and key.startswith(prefix) and key.endswith(delimiter) and key != prefix:
        key, before = behind(key), _ALL
    last: tuple[str, str] = ("", "")
    truncated = False
    text = encoder(request)
    more = max_keys > 0
    while more:
        batch = index.scan_versions(request.bucket, prefix, key, before, max_keys + 1)
        more = False
        for item, is_latest in batch:
            if not item.key.startswith(prefix):
                break
            if len(entries) + len(prefixes) == max_keys:
                truncated = True
                break
            cut = item.key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                folded = item.key[: cut + len(delimiter)]
                prefixes.append(folded)
                last = (folded, "")
                key, before, more = behind(folded), _ALL, True
                break
            entries.append(_entry(request, item, is_latest, text(item.key)))
            last = (item.key, _marker(item))
    return document(
        "ListVersionsResult",
        [
            ("Name", request.bucket),
            ("Prefix", text(prefix)),
            ("KeyMarker", text(key_marker)),
            ("VersionIdMarker", version_marker),
            ("NextKeyMarker", text(last[0]) if truncated else None),
            ("NextVersionIdMarker", (last[1] or None) if truncated else None),
            ("MaxKeys", max_keys),
            ("Delimiter", text(delimiter) if delimiter else None),
            ("EncodingType", query.get("encoding-type")),
            ("IsTruncated", str(truncated).lower()),
            *entries,
            *common_prefixes(prefixes, text),
        ],
    )


def _entry(request: S3Request, item: Object, is_latest: bool, key: str) -> Element:
    names: list[Element] = [
        ("Key", key),
        ("VersionId", item.version_id),
        ("IsLatest", str(is_latest).lower()),
        ("LastModified", iso_time(item.modified_s)),
    ]
    if item.is_marker:
        return ("DeleteMarker", [*names, owner(request)])
    body: list[Element] = [
        ("ETag", f'"{item.etag}"'),
        ("Size", item.size_bytes),
        ("StorageClass", storage_class(item)),
        owner(request),
    ]
    return ("Version", [*names, *body])


def _marker(item: Object) -> str:
    """The version's id; the position is appended after a dot if the id does not contain it."""
    if sequence_of(item.version_id) == item.sequence:
        return item.version_id
    return f"{item.version_id}.{item.sequence}"


def _sequence(index: Index, request: S3Request, key: str, marker: str) -> int:
    """The position after which a page starts within its first key; 0 is after all of its versions."""
    if not marker:
        return 0
    version_id, _, place = marker.partition(".")
    if place.isascii() and place.isdigit() and len(place) < 20:
        return int(place)
    if version_id == NULL_VERSION:
        found = index.version(request.bucket, key, NULL_VERSION)
        return found.sequence if found else 0
    sequence = sequence_of(version_id)
    if sequence is None or place:
        raise AwsError("InvalidArgument", "Invalid version id specified")
    return sequence
