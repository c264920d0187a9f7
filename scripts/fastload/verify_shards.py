"""Verifies that every chunk of a manifest exists and is complete and uncorrupted, without keeping it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastload.checksums import crc32c
from fastload.errors import FastloadError
from fastload.manifest import ChunkEntry, Manifest, read_manifest
from fastload.shard import ShardProgress
from fastload.storage.store import interruptible_sessions, open_store, read_range

_WORKERS = 8


def verify_shards(location: str, progress: Callable[[ShardProgress], None] | None = None) -> list[str]:
    """Read every chunk of every rank; returns one sentence per fault, none if all is well.

    Raises ManifestError, StorageError where not even the manifest can be read.
    """
    store, manifest = open_store(location), read_manifest(location)
    present = store.listing()

    def check(chunk: ChunkEntry) -> tuple[int, str | None]:
        if chunk.key in present and present[chunk.key].size_bytes != chunk.size_bytes:
            found_bytes = present[chunk.key].size_bytes
            return (
                chunk.size_bytes,
                f"{chunk.key} has {found_bytes} bytes, the manifest says {chunk.size_bytes}.",
            )
        session = new_session(store)
        data = bytearray(chunk.size_bytes)
        try:
            read_range(session, chunk.key, 0, memoryview(data))
        except FastloadError as error:
            return chunk.size_bytes, str(error)
        finally:
            session.close()
        if (found := crc32c(data)) != chunk.crc32c:
            return (
                chunk.size_bytes,
                f"{chunk.key}: CRC32C is {found:08x}, the manifest says {chunk.crc32c:08x}.",
            )
        return chunk.size_bytes, None

    faults, done_bytes = [], 0
    with ThreadPoolExecutor(_WORKERS) as pool, interruptible_sessions() as new_session:
        for size_bytes, fault in pool.map(check, _all_chunks(manifest)):
            done_bytes += size_bytes
            if fault:
                faults.append(fault)
            if progress is not None:
                progress(ShardProgress(done_bytes, manifest.size_bytes))
    return faults


def _all_chunks(manifest: Manifest) -> list[ChunkEntry]:
    return [chunk for rank in manifest.ranks for chunk in rank.chunks]
