"""Uploads a folder to a prefix: in parallel, resumable, and no file twice.

An object appears in S3 only when it is complete, and the prefix contains the content's digest, so an object
of the right size is the right object, and one listing shows what is missing. The upload of a large file is
resumed from its parts, each compared with the file by MD5.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config

from loadbench.progress import OnProgress, Progress

_CONNECTIONS = 4
_PART_BYTES = 16 << 20
# Storage classes whose objects must be restored before they can be read.
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")
_MAX_PARTS = 10_000  # docs/facts/s3.md#request-rules


@dataclass(frozen=True)
class Upload:
    """One file and its key."""

    path: Path
    key: str
    size_bytes: int


def upload_folder(
    session: Any,
    folder: Path,
    files: tuple[Path, ...],
    bucket: str,
    prefix: str,
    label: str,
    on_progress: OnProgress,
) -> int:
    """Upload `files` of `folder` to `prefix` (ending in a slash); returns the number of bytes sent."""
    retries = {"mode": "standard", "max_attempts": 6}
    client = session.client("s3", config=Config(max_pool_connections=_CONNECTIONS, retries=retries))
    uploads = [
        Upload(path, prefix + path.relative_to(folder).as_posix(), path.stat().st_size) for path in files
    ]
    there = list_sizes(client, bucket, prefix)
    missing = [upload for upload in uploads if there.get(upload.key) != upload.size_bytes]
    if not missing:
        return 0
    total_bytes = sum(upload.size_bytes for upload in uploads)
    missing_bytes = sum(upload.size_bytes for upload in missing)
    advance = _counter(label, total_bytes - missing_bytes, total_bytes, on_progress)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for upload in missing:
            if upload.size_bytes > _PART_BYTES:
                _send_in_parts(client, bucket, upload, pool, advance)
            else:
                client.put_object(Bucket=bucket, Key=upload.key, Body=upload.path.read_bytes())
                advance(upload.size_bytes)
    return missing_bytes


def list_sizes(client: Any, bucket: str, prefix: str, *, archived: bool = False) -> dict[str, int]:
    """Sizes by key of the objects under a prefix, all pages; `archived` includes objects that cannot
    be read.
    """
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {
        item["Key"]: item["Size"]
        for page in pages
        for item in page.get("Contents", ())
        if archived or item.get("StorageClass") not in _ARCHIVED
    }


def remove_objects(client: Any, bucket: str, prefix: str) -> None:
    """Delete every object under a prefix."""
    for key in list_sizes(client, bucket, prefix, archived=True):
        client.delete_object(Bucket=bucket, Key=key)


def _send_in_parts(
    client: Any, bucket: str, upload: Upload, pool: ThreadPoolExecutor, advance: Callable[[int], None]
) -> None:
    where = {"Bucket": bucket, "Key": upload.key}
    # Depends on the file's size only, so that a resumed upload has the same parts.
    part_bytes = _PART_BYTES * math.ceil(upload.size_bytes / (_PART_BYTES * _MAX_PARTS))
    upload_id, there = _unfinished(client, **where)
    if upload_id is None:
        upload_id = client.create_multipart_upload(**where)["UploadId"]
    file_descriptor = os.open(upload.path, os.O_RDONLY)

    def send(number: int) -> dict[str, Any]:
        block = os.pread(file_descriptor, part_bytes, (number - 1) * part_bytes)
        etag = f'"{hashlib.md5(block, usedforsecurity=False).hexdigest()}"'
        if there.get(number) != etag:
            etag = client.upload_part(**where, UploadId=upload_id, PartNumber=number, Body=block)["ETag"]
        advance(len(block))
        return {"PartNumber": number, "ETag": etag}

    try:
        parts = list(pool.map(send, range(1, math.ceil(upload.size_bytes / part_bytes) + 1)))
    finally:
        os.close(file_descriptor)
    client.complete_multipart_upload(**where, UploadId=upload_id, MultipartUpload={"Parts": parts})


def _unfinished(client: Any, **where: str) -> tuple[str | None, dict[int, str]]:
    """The newest incomplete upload of this key, with its parts' ETags."""
    uploads = client.list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"]).get("Uploads", ())
    candidates = [item for item in uploads if item["Key"] == where["Key"]]
    if not candidates:
        return None, {}
    upload_id = max(candidates, key=lambda item: item["Initiated"])["UploadId"]
    pages = client.get_paginator("list_parts").paginate(**where, UploadId=upload_id)
    return upload_id, {part["PartNumber"]: part["ETag"] for page in pages for part in page.get("Parts", ())}


def _counter(label: str, done_bytes: int, total_bytes: int, on_progress: OnProgress) -> Callable[[int], None]:
    lock = threading.Lock()
    done = done_bytes
    on_progress(Progress(label, done, total_bytes, "bytes"))

    def advance(size_bytes: int) -> None:
        nonlocal done
        with lock:
            done += size_bytes
            on_progress(Progress(label, done, total_bytes, "bytes"))

    return advance
