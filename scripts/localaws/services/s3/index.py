"""What objects there are and which bytes on disk make them up: the object store's records.

An object's bytes are extents: pieces of files with random names. Names that clients choose never reach the
file system. A file is written first and the record after it, in one transaction: what has no record does not
exist, and is swept away at the next start.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...state.database import Database
from ...state.files import private_folder


@dataclass(frozen=True)
class Extent:
    """A piece of a file."""

    file_id: str
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Object:
    """One object. `headers` are those that a GET gives back; `checksums` maps S3's header names to values."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    modified_s: float
    extents: tuple[Extent, ...]
    headers: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    part_sizes_bytes: tuple[int, ...] = ()  # empty unless it came in parts


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


_TABLES = """
CREATE TABLE IF NOT EXISTS s3_buckets (name TEXT PRIMARY KEY, region TEXT NOT NULL, created_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS s3_objects (
  bucket TEXT NOT NULL, key TEXT NOT NULL, size_bytes INTEGER NOT NULL, etag TEXT NOT NULL,
  modified_s REAL NOT NULL, extents TEXT NOT NULL, headers TEXT NOT NULL, checksums TEXT NOT NULL,
  tags TEXT NOT NULL, part_sizes TEXT NOT NULL,
  PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS s3_uploads (
  upload_id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, created_s REAL NOT NULL,
  headers TEXT NOT NULL, tags TEXT NOT NULL, checksum_algorithm TEXT, checksum_type TEXT);
CREATE TABLE IF NOT EXISTS s3_parts (
  upload_id TEXT NOT NULL, number INTEGER NOT NULL, size_bytes INTEGER NOT NULL, etag TEXT NOT NULL,
  modified_s REAL NOT NULL, extents TEXT NOT NULL, checksums TEXT NOT NULL, PRIMARY KEY (upload_id, number));
"""


class Index:
    """Records of buckets, objects and uploads, and the folder of their files."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = private_folder(folder)
        database.script(_TABLES)
        self._sweep()

    # Files

    def new_file(self) -> tuple[str, Path]:
        """An unused file id and its path; the caller creates the file."""
        file_id = secrets.token_hex(16)
        return file_id, self.path(file_id)

    def path(self, file_id: str) -> Path:
        """Where a file lies."""
        return self._folder / file_id[:2] / file_id

    def link(self, extents: Iterable[Extent]) -> tuple[Extent, ...]:
        """The same bytes under new file names (hard links), so that each object owns its files alone."""
        linked = []
        for extent in extents:
            file_id, path = self.new_file()
            path.hardlink_to(self.path(extent.file_id))
            linked.append(Extent(file_id, extent.offset, extent.size_bytes))
        return tuple(linked)

    def remove_files(self, extents: Iterable[Extent]) -> None:
        """Delete the files of extents that no record names any more."""
        for extent in extents:
            self.path(extent.file_id).unlink(missing_ok=True)

    # Buckets

    def create_bucket(self, bucket: Bucket) -> None:
        """Add a bucket that does not exist yet."""
        self._database.execute(
            "INSERT INTO s3_buckets VALUES (?, ?, ?)", (bucket.name, bucket.region, bucket.created_s)
        )

    def bucket(self, name: str) -> Bucket | None:
        """The bucket of that name."""
        rows = self._database.query("SELECT * FROM s3_buckets WHERE name = ?", (name,))
        return Bucket(*rows[0]) if rows else None

    def buckets(self) -> list[Bucket]:
        """All buckets by name."""
        return [Bucket(*row) for row in self._database.query("SELECT * FROM s3_buckets ORDER BY name")]

    def delete_bucket(self, name: str) -> bool:
        """Remove an empty bucket with its unfinished uploads; False where it holds an object."""
        with self._database.transaction():
            if self._database.query("SELECT 1 FROM s3_objects WHERE bucket = ? LIMIT 1", (name,)):
                return False
            for upload in self.uploads(name):
                self.delete_upload(upload.upload_id)
            self._database.execute("DELETE FROM s3_buckets WHERE name = ?", (name,))
        return True

    # Objects

    def put(self, new: Object, upload_id: str | None = None) -> None:
        """Record an object in place of any older one, and end the upload that it came from."""
        with self._database.transaction():
            old = self.get(new.bucket, new.key)
            self._database.execute(
                "INSERT OR REPLACE INTO s3_objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    new.bucket,
                    new.key,
                    new.size_bytes,
                    new.etag,
                    new.modified_s,
                    _dump(new.extents),
                    json.dumps(new.headers),
                    json.dumps(new.checksums),
                    json.dumps(new.tags),
                    json.dumps(new.part_sizes_bytes),
                ),
            )
            unused = [] if upload_id is None else self._forget_upload(upload_id)
        kept = {extent.file_id for extent in new.extents}
        unused += old.extents if old else ()
        self.remove_files(extent for extent in unused if extent.file_id not in kept)

    def get(self, bucket: str, key: str) -> Object | None:
        """The object, or None."""
        rows = self._database.query("SELECT * FROM s3_objects WHERE bucket = ? AND key = ?", (bucket, key))
        return _object(rows[0]) if rows else None

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object, if there is one."""
        with self._database.transaction():
            old = self.get(bucket, key)
            self._database.execute("DELETE FROM s3_objects WHERE bucket = ? AND key = ?", (bucket, key))
        self.remove_files(old.extents if old else ())

    def scan(self, bucket: str, start: str, inclusive: bool, limit: int) -> list[Object]:
        """Up to `limit` objects whose key follows `start` in the order of UTF-8 bytes."""
        rows = self._database.query(
            "SELECT * FROM s3_objects WHERE bucket = ?1 AND key >= ?2 AND (?3 OR key > ?2)"
            " ORDER BY key LIMIT ?4",
            (bucket, start, inclusive, limit),
        )
        return [_object(row) for row in rows]

    # Uploads

    def create_upload(self, upload: Upload) -> None:
        """Record the beginning of a multipart upload."""
        self._database.execute(
            "INSERT INTO s3_uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                upload.upload_id,
                upload.bucket,
                upload.key,
                upload.created_s,
                json.dumps(upload.headers),
                json.dumps(upload.tags),
                upload.checksum_algorithm,
                upload.checksum_type,
            ),
        )

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        """The upload of that id, if it belongs to that object."""
        return next(
            (found for found in self.uploads(bucket, upload_id) if found.key == key),
            None,
        )

    def uploads(self, bucket: str, upload_id: str | None = None) -> list[Upload]:
        """Unfinished uploads of a bucket by key and age."""
        rows = self._database.query(
            "SELECT * FROM s3_uploads WHERE bucket = ?1 AND (?2 IS NULL OR upload_id = ?2)"
            " ORDER BY key, created_s",
            (bucket, upload_id),
        )
        return [_upload(row) for row in rows]

    def put_part(self, upload_id: str, part: Part) -> bool:
        """Record a part in place of any older one; False where the upload has ended meanwhile."""
        with self._database.transaction():
            if not self._database.query("SELECT 1 FROM s3_uploads WHERE upload_id = ?", (upload_id,)):
                return False
            old = [known for known in self.parts(upload_id, part.number) if known.number == part.number]
            self._database.execute(
                "INSERT OR REPLACE INTO s3_parts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    upload_id,
                    part.number,
                    part.size_bytes,
                    part.etag,
                    part.modified_s,
                    _dump(part.extents),
                    json.dumps(part.checksums),
                ),
            )
        for known in old:
            self.remove_files(known.extents)
        return True

    def parts(self, upload_id: str, first: int = 1) -> list[Part]:
        """The parts from number `first` on, by number."""
        rows = self._database.query(
            "SELECT * FROM s3_parts WHERE upload_id = ? AND number >= ? ORDER BY number",
            (upload_id, first),
        )
        return [_part(row) for row in rows]

    def delete_upload(self, upload_id: str) -> None:
        """Abort an upload and remove its parts."""
        with self._database.transaction():
            unused = self._forget_upload(upload_id)
        self.remove_files(unused)

    def _forget_upload(self, upload_id: str) -> list[Extent]:
        unused = [extent for part in self.parts(upload_id) for extent in part.extents]
        self._database.execute("DELETE FROM s3_parts WHERE upload_id = ?", (upload_id,))
        self._database.execute("DELETE FROM s3_uploads WHERE upload_id = ?", (upload_id,))
        return unused

    def _sweep(self) -> None:
        """Create the folders, and remove files that a killed server wrote but never recorded."""
        rows = self._database.query("SELECT extents FROM s3_objects UNION ALL SELECT extents FROM s3_parts")
        known = {extent.file_id for row in rows for extent in _load(row[0])}
        for number in range(256):
            folder = private_folder(self._folder / f"{number:02x}")
            for name in _names(folder):
                if name not in known:
                    (folder / name).unlink()


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from [entry.name for entry in entries]


def _dump(extents: Sequence[Extent]) -> str:
    return json.dumps([(extent.file_id, extent.offset, extent.size_bytes) for extent in extents])


def _load(text: str) -> tuple[Extent, ...]:
    return tuple(Extent(*item) for item in json.loads(text))


def _upload(row: tuple[Any, ...]) -> Upload:
    upload_id, bucket, key, created_s, headers, tags, algorithm, kind = row
    return Upload(upload_id, bucket, key, created_s, json.loads(headers), json.loads(tags), algorithm, kind)


def _part(row: tuple[Any, ...]) -> Part:
    _, number, size_bytes, etag, modified_s, extents, checksums = row
    return Part(number, size_bytes, etag, modified_s, _load(extents), json.loads(checksums))


def _object(row: tuple[Any, ...]) -> Object:
    bucket, key, size_bytes, etag, modified_s, extents, headers, checksums, tags, part_sizes = row
    return Object(
        bucket,
        key,
        size_bytes,
        etag,
        modified_s,
        _load(extents),
        json.loads(headers),
        json.loads(checksums),
        json.loads(tags),
        tuple(json.loads(part_sizes)),
    )
