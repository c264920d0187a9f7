"""From a location, s3://bucket/prefix/ or a folder's path, to its store."""

from __future__ import annotations

from pathlib import Path

from fastload.errors import StorageError
from fastload.storage.folder import FolderStore
from fastload.storage.s3_client import bucket_from_environment
from fastload.storage.s3_store import BucketStore
from fastload.storage.store import Store


def open_store(location: str) -> Store:
    """The store behind "s3://bucket/prefix/" or a folder's path."""
    if location.startswith("s3://"):
        name, _, prefix = location.removeprefix("s3://").partition("/")
        if not name:
            raise StorageError(f"{location!r} names no bucket; write s3://bucket/prefix/.")
        return BucketStore(bucket_from_environment(name), prefix.rstrip("/"))
    if "://" in location:
        raise StorageError(f"{location!r} is neither s3://bucket/prefix/ nor a folder.")
    return FolderStore(Path(location))
