"""Records of buckets, objects and uploads, and their database rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# The version id of an object written without versioning.
NULL_VERSION = "null"


@dataclass(frozen=True)
class Extent:
    """A piece of a file."""

    file_id: str
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Object:
    """One object. `headers` are those that a GET returns; `checksums` maps S3's header names to values."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    modified_s: float
    extents: tuple[Extent, ...]
    headers: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    part_sizes_bytes: tuple[int, ...] = ()  # empty unless uploaded in parts
    version_id: str = NULL_VERSION
    sequence: int = 0  # higher for later versions of a key
    acl: str = ""  # an AccessControlPolicy document; empty for the owner's full control
    is_marker: bool = False  # a delete marker: the newest version of a deleted object


@dataclass(frozen=True)
class Upload:
    """A multipart upload in progress."""

    upload_id: str
    bucket: str
    key: str
    created_s: float
    headers: dict[str, str]
    tags: dict[str, str]
    checksum_algorithm: str | None
    checksum_type: str | None
    acl: str = ""


@dataclass(frozen=True)
class Part:
    """One part of an upload in progress."""

    number: int
    size_bytes: int
    etag: str
    modified_s: float
    extents: tuple[Extent, ...]
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bucket:
    """One bucket."""

    name: str
    region: str
    created_s: float


def dump_extents(extents: Sequence[Extent]) -> str:
    """Extents in the format of the database column."""
    return json.dumps([(extent.file_id, extent.offset, extent.size_bytes) for extent in extents])


def load_extents(text: str) -> tuple[Extent, ...]:
    """Extents parsed from the database column."""
    return tuple(Extent(*item) for item in json.loads(text))


def upload_of(row: tuple[Any, ...]) -> Upload:
    """An upload from its row."""
    upload_id, bucket, key, created_s, headers, tags, algorithm, kind, acl = row
    read = json.loads
    return Upload(upload_id, bucket, key, created_s, read(headers), read(tags), algorithm, kind, acl)


def part_of(row: tuple[Any, ...]) -> Part:
    """A part from its row."""
    _, number, size_bytes, etag, modified_s, extents, checksums = row
    return Part(number, size_bytes, etag, modified_s, load_extents(extents), json.loads(checksums))


def object_row(item: Object) -> tuple[Any, ...]:
    """The row of an object or a delete marker."""
    return (
        item.bucket,
        item.key,
        item.size_bytes,
        item.etag,
        item.modified_s,
        dump_extents(item.extents),
        json.dumps(item.headers),
        json.dumps(item.checksums),
        json.dumps(item.tags),
        json.dumps(item.part_sizes_bytes),
        item.version_id,
        item.sequence,
        item.acl,
        item.is_marker,
    )


def object_of(row: tuple[Any, ...]) -> Object:
    """An object or a delete marker from its row."""
    bucket, key, size_bytes, etag, modified_s, extents, headers, checksums, tags, part_sizes = row[:10]
    version_id, sequence, acl, is_marker = row[10:14]
    return Object(
        bucket,
        key,
        size_bytes,
        etag,
        modified_s,
        load_extents(extents),
        json.loads(headers),
        json.loads(checksums),
        json.loads(tags),
        tuple(json.loads(part_sizes)),
        version_id,
        sequence,
        acl,
        bool(is_marker),
    )
