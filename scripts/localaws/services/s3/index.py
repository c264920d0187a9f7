"""The object store's records: its objects, and their files on disk.

An object's bytes are extents: pieces of files with random names. Names chosen by clients are never used in
the file system. A file is written first, and then its record, in one transaction. Files without a record are
removed at the next start.

`s3_objects` contains the current version of every key, `s3_versions` older versions and all delete markers. A
key whose newest version is a delete marker has no row in `s3_objects`.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ...state.database import Database
from ...state.files import private_folder
from .records import (
    NULL_VERSION,
    Bucket,
    Extent,
    Object,
    Part,
    Upload,
    dump_extents,
    load_extents,
    object_of,
    object_row,
    part_of,
    upload_of,
)

_OBJECT_COLUMNS = """
  bucket TEXT NOT NULL, key TEXT NOT NULL, size_bytes INTEGER NOT NULL, etag TEXT NOT NULL,
  modified_s REAL NOT NULL, extents TEXT NOT NULL, headers TEXT NOT NULL, checksums TEXT NOT NULL,
  tags TEXT NOT NULL, part_sizes TEXT NOT NULL, version_id TEXT NOT NULL DEFAULT 'null',
  sequence INTEGER NOT NULL DEFAULT 0, acl TEXT NOT NULL DEFAULT '', is_marker INTEGER NOT NULL DEFAULT 0,
"""
_TABLES = f"""
CREATE TABLE IF NOT EXISTS s3_buckets (name TEXT PRIMARY KEY, region TEXT NOT NULL, created_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS s3_bucket_settings (
  bucket TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (bucket, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS s3_objects ({_OBJECT_COLUMNS} PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS s3_versions (
  {_OBJECT_COLUMNS} PRIMARY KEY (bucket, key, version_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS s3_uploads (
  upload_id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, created_s REAL NOT NULL,
  headers TEXT NOT NULL, tags TEXT NOT NULL, checksum_algorithm TEXT, checksum_type TEXT,
  acl TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS s3_parts (
  upload_id TEXT NOT NULL, number INTEGER NOT NULL, size_bytes INTEGER NOT NULL, etag TEXT NOT NULL,
  modified_s REAL NOT NULL, extents TEXT NOT NULL, checksums TEXT NOT NULL, PRIMARY KEY (upload_id, number));
"""
# Columns that are missing in folders of earlier versions of this package.
_ADDED_COLUMNS = {
    "s3_objects": {
        "version_id": "TEXT NOT NULL DEFAULT 'null'",
        "sequence": "INTEGER NOT NULL DEFAULT 0",
        "acl": "TEXT NOT NULL DEFAULT ''",
        "is_marker": "INTEGER NOT NULL DEFAULT 0",
    },
    "s3_uploads": {"acl": "TEXT NOT NULL DEFAULT ''"},
}
_INSERT = f"VALUES ({', '.join('?' * 14)})"


class Index:
    """Records of buckets, objects and uploads, and the folder of their files."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = private_folder(folder)
        database.script(_TABLES)
        for table, columns in _ADDED_COLUMNS.items():
            database.add_columns(table, columns)
        self._sweep()

    # Files

    def new_file(self) -> tuple[str, Path]:
        """An unused file id and its path; the caller creates the file."""
        file_id = secrets.token_hex(16)
        return file_id, self.path(file_id)

    def path(self, file_id: str) -> Path:
        """The path of a file."""
        return self._folder / file_id[:2] / file_id

    def link(self, extents: Iterable[Extent]) -> tuple[Extent, ...]:
        """The same bytes under new file names (hard links), so that no two objects share a file."""
        linked = []
        for extent in extents:
            file_id, path = self.new_file()
            path.hardlink_to(self.path(extent.file_id))
            linked.append(Extent(file_id, extent.offset, extent.size_bytes))
        return tuple(linked)

    def remove_files(self, extents: Iterable[Extent]) -> None:
        """Delete the files of extents that are no longer referenced by a record."""
        for extent in extents:
            self.path(extent.file_id).unlink(missing_ok=True)

    # Buckets

    def create_bucket(self, bucket: Bucket, settings: Mapping[str, str]) -> None:
        """Add a bucket that does not exist yet, with its first configuration documents."""
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO s3_buckets VALUES (?, ?, ?)", (bucket.name, bucket.region, bucket.created_s)
            )
            for name, document in settings.items():
                self.put_setting(bucket.name, name, document)

    def bucket(self, name: str) -> Bucket | None:
        """The bucket with this name."""
        rows = self._database.query("SELECT * FROM s3_buckets WHERE name = ?", (name,))
        return Bucket(*rows[0]) if rows else None

    def buckets(self) -> list[Bucket]:
        """All buckets by name."""
        return [Bucket(*row) for row in self._database.query("SELECT * FROM s3_buckets ORDER BY name")]

    def delete_bucket(self, name: str) -> bool:
        """Remove an empty bucket with its unfinished uploads; returns False if it contains an object."""
        with self._database.transaction():
            for table in ("s3_objects", "s3_versions"):
                if self._database.query(f"SELECT 1 FROM {table} WHERE bucket = ? LIMIT 1", (name,)):  # noqa: S608
                    return False
            for upload in self.uploads(name):
                self.delete_upload(upload.upload_id)
            self._database.execute("DELETE FROM s3_bucket_settings WHERE bucket = ?", (name,))
            self._database.execute("DELETE FROM s3_buckets WHERE name = ?", (name,))
        return True

    def setting(self, bucket: str, name: str) -> str | None:
        """A bucket's configuration document (`cors`, `policy`, …), or None."""
        rows = self._database.query(
            "SELECT document FROM s3_bucket_settings WHERE bucket = ? AND name = ?", (bucket, name)
        )
        return rows[0][0] if rows else None

    def put_setting(self, bucket: str, name: str, document: str) -> None:
        """Store a configuration document, replacing an older one."""
        self._database.execute(
            "INSERT OR REPLACE INTO s3_bucket_settings VALUES (?, ?, ?)", (bucket, name, document)
        )

    def delete_setting(self, bucket: str, name: str) -> None:
        """Delete a configuration document, if there is one."""
        self._database.execute("DELETE FROM s3_bucket_settings WHERE bucket = ? AND name = ?", (bucket, name))

    # Objects and their versions

    def put(self, new: Object, upload_id: str | None = None) -> Object:
        """Record an object as its key's newest version, and end the upload that created it.

        A version of the same id (always the case in a bucket that keeps no versions) is replaced.
        """
        with self._database.transaction():
            unused = self._supersede(new)
            new = replace(new, sequence=self._next_sequence(new))
            self._database.execute(f"INSERT INTO s3_objects {_INSERT}", object_row(new))
            unused += [] if upload_id is None else self._forget_upload(upload_id)
        kept = {extent.file_id for extent in new.extents}
        self.remove_files(extent for extent in unused if extent.file_id not in kept)
        return new

    def put_marker(self, marker: Object) -> None:
        """Hide a key's object behind a delete marker."""
        with self._database.transaction():
            unused = self._supersede(marker)
            marker = replace(marker, sequence=self._next_sequence(marker))
            self._database.execute(f"INSERT INTO s3_versions {_INSERT}", object_row(marker))
        self.remove_files(unused)

    def change(self, changed: Object) -> None:
        """Replace the record of a version, to change tags, headers or ACL."""
        with self._database.transaction():
            current = self.get(changed.bucket, changed.key)
            is_current = current is not None and current.version_id == changed.version_id
            table = "s3_objects" if is_current else "s3_versions"
            self._database.execute(f"INSERT OR REPLACE INTO {table} {_INSERT}", object_row(changed))

    def get(self, bucket: str, key: str) -> Object | None:
        """The current version of an object, or None."""
        rows = self._database.query("SELECT * FROM s3_objects WHERE bucket = ? AND key = ?", (bucket, key))
        return object_of(rows[0]) if rows else None

    def version(self, bucket: str, key: str, version_id: str) -> Object | None:
        """A version of an object, or a delete marker, or None."""
        current = self.get(bucket, key)
        if current is not None and current.version_id == version_id:
            return current
        rows = self._database.query(
            "SELECT * FROM s3_versions WHERE bucket = ? AND key = ? AND version_id = ?",
            (bucket, key, version_id),
        )
        return object_of(rows[0]) if rows else None

    def newest(self, bucket: str, key: str) -> Object | None:
        """The newest version, which may be an object or a delete marker."""
        return self.get(bucket, key) or self._newest_older(bucket, key)

    def delete_version(self, bucket: str, key: str, version_id: str) -> None:
        """Remove a version permanently; the previous one becomes current."""
        with self._database.transaction():
            found = self.version(bucket, key, version_id)
            self._database.execute(
                "DELETE FROM s3_objects WHERE bucket = ? AND key = ? AND version_id = ?",
                (bucket, key, version_id),
            )
            self._forget_older(bucket, key, version_id)
            older = None if self.get(bucket, key) else self._newest_older(bucket, key)
            if older is not None and not older.is_marker:
                self._forget_older(bucket, key, older.version_id)
                self._database.execute(f"INSERT INTO s3_objects {_INSERT}", object_row(older))
        self.remove_files(found.extents if found else ())

    def scan_versions(
        self, bucket: str, prefix: str, key: str, before: int, limit: int
    ) -> list[tuple[Object, bool]]:
        """(version, whether it is its key's newest) after a position, by key and newest first.

        The position is a key and the sequence of one of its versions; 0 is after all its versions.
        """
        rows = self._database.query(
            "SELECT * FROM (SELECT * FROM s3_objects UNION ALL SELECT * FROM s3_versions) AS version"
            " WHERE bucket = ?1 AND (key > ?2 OR (key = ?2 AND sequence < ?3)) AND key >= ?4"
            " ORDER BY key, sequence DESC LIMIT ?5",
            (bucket, key, before, prefix, limit),
        )
        found = [object_of(row) for row in rows]
        newest = {item.key: self.newest(bucket, item.key) for item in found}
        return [(item, item == newest[item.key]) for item in found]

    def _supersede(self, new: Object) -> list[Extent]:
        """Prepare for a new version of a key; returns the extents of the version that it replaces."""
        unused: list[Extent] = []
        current = self.get(new.bucket, new.key)
        if current is not None:
            self._database.execute(
                "DELETE FROM s3_objects WHERE bucket = ? AND key = ?", (new.bucket, new.key)
            )
            if current.version_id == new.version_id:
                unused += current.extents
            else:
                self._database.execute(f"INSERT INTO s3_versions {_INSERT}", object_row(current))
        unused += self._forget_older(new.bucket, new.key, new.version_id)
        return unused

    def _forget_older(self, bucket: str, key: str, version_id: str) -> tuple[Extent, ...]:
        place = (bucket, key, version_id)
        where = "WHERE bucket = ? AND key = ? AND version_id = ?"
        rows = self._database.query(f"SELECT extents FROM s3_versions {where}", place)  # noqa: S608
        if rows:
            self._database.execute(f"DELETE FROM s3_versions {where}", place)  # noqa: S608
        return load_extents(rows[0][0]) if rows else ()

    def _newest_older(self, bucket: str, key: str) -> Object | None:
        rows = self._database.query(
            "SELECT * FROM s3_versions WHERE bucket = ? AND key = ? ORDER BY sequence DESC LIMIT 1",
            (bucket, key),
        )
        return object_of(rows[0]) if rows else None

    def _next_sequence(self, new: Object) -> int:
        older = self.newest(new.bucket, new.key)
        return max(new.sequence or time.time_ns(), older.sequence + 1 if older else 0)

    def scan(self, bucket: str, start: str, inclusive: bool, limit: int) -> list[Object]:
        """Up to `limit` objects whose key follows `start` in the order of UTF-8 bytes."""
        rows = self._database.query(
            "SELECT * FROM s3_objects WHERE bucket = ?1 AND key >= ?2 AND (?3 OR key > ?2)"
            " ORDER BY key LIMIT ?4",
            (bucket, start, inclusive, limit),
        )
        return [object_of(row) for row in rows]

    # Uploads

    def create_upload(self, upload: Upload) -> None:
        """Record a new multipart upload."""
        self._database.execute(
            "INSERT INTO s3_uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                upload.upload_id,
                upload.bucket,
                upload.key,
                upload.created_s,
                json.dumps(upload.headers),
                json.dumps(upload.tags),
                upload.checksum_algorithm,
                upload.checksum_type,
                upload.acl,
            ),
        )

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        """The upload with this id, if it belongs to the object."""
        return next(
            (found for found in self.uploads(bucket, upload_id) if found.key == key),
            None,
        )

    def uploads(self, bucket: str, upload_id: str | None = None) -> list[Upload]:
        """Unfinished uploads of a bucket by key and id."""
        rows = self._database.query(
            "SELECT * FROM s3_uploads WHERE bucket = ?1 AND (?2 IS NULL OR upload_id = ?2)"
            " ORDER BY key, upload_id",
            (bucket, upload_id),
        )
        return [upload_of(row) for row in rows]

    def put_part(self, upload_id: str, part: Part) -> bool:
        """Record a part, replacing an older one; returns False if the upload has ended meanwhile."""
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
                    dump_extents(part.extents),
                    json.dumps(part.checksums),
                ),
            )
        for known in old:
            self.remove_files(known.extents)
        return True

    def parts(self, upload_id: str, first: int = 1) -> list[Part]:
        """The parts starting at number `first`, by number."""
        rows = self._database.query(
            "SELECT * FROM s3_parts WHERE upload_id = ? AND number >= ? ORDER BY number",
            (upload_id, first),
        )
        return [part_of(row) for row in rows]

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
        tables = ("s3_objects", "s3_versions", "s3_parts")
        rows = self._database.query(" UNION ALL ".join(f"SELECT extents FROM {name}" for name in tables))  # noqa: S608
        known = {extent.file_id for row in rows for extent in load_extents(row[0])}
        for number in range(256):
            folder = private_folder(self._folder / f"{number:02x}")
            for name in _names(folder):
                if name not in known:
                    (folder / name).unlink()


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from [entry.name for entry in entries]


def new_version(is_kept: bool) -> tuple[str, int]:
    """(id, sequence) of a new version; without versioning the id is always the same.

    An id contains its sequence, so that a listing can continue after a version that was deleted meanwhile.
    """
    sequence = time.time_ns()
    if not is_kept:
        return NULL_VERSION, sequence
    return base64.urlsafe_b64encode(sequence.to_bytes(8, "big") + secrets.token_bytes(16)).decode(), sequence


def sequence_of(version_id: str) -> int | None:
    """The sequence contained in an id of `new_version`, or None."""
    try:
        raw = base64.b64decode(version_id.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(raw[:8], "big") if len(raw) == 24 else None
