"""Opens the store of a location."""

from __future__ import annotations

from pathlib import Path

from fastload.errors import StorageError, shown
from fastload.storage.folder import FolderStore
from fastload.storage.interface import (
    MOST_SMALL_BYTES,
    ObjectInfo,
    Session,
    Store,
    interruptible_sessions,
    read_range,
)
from fastload.storage.s3_client import bucket_from_environment
from fastload.storage.s3_store import BucketStore

__all__ = [
    "MOST_SMALL_BYTES",
    "ObjectInfo",
    "Session",
    "Store",
    "interruptible_sessions",
    "open_store",
    "read_range",
]


def open_store(location: str) -> Store:
    """The store behind "s3://bucket/prefix/" or a folder's path. Raises StorageError."""
    if "\0" in location:
        raise StorageError(f"{shown(location)!r} is not a valid location: it contains a NUL character.")
    if location.startswith("s3://"):
        name, _, prefix = location.removeprefix("s3://").partition("/")
        if not name:
            raise StorageError(f"{shown(location)!r} has no bucket; write s3://bucket/prefix/.")
        return BucketStore(bucket_from_environment(name), prefix.rstrip("/"))
    if "://" in location:
        raise StorageError(f"{shown(location)!r} is neither s3://bucket/prefix/ nor a folder.")
    return FolderStore(Path(location))
