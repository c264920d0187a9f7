"""Compares the checksums that S3 stores for whole objects with the bytes in memory."""

from __future__ import annotations

import hashlib
import mmap
import zlib
from base64 import b64encode
from collections.abc import Callable

from fastload.errors import ChunkError
from fastload.prefetch.plan import LoadPlan
from fastload.storage.store import Session, Store, read_range

_STEP_BYTES = 16 << 20
_DIGEST_BYTES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8}


class _Crc:
    def __init__(self, algorithm: str, function: Callable[..., int]) -> None:
        self._function, self._size_bytes, self._value = function, _DIGEST_BYTES[algorithm], 0

    def update(self, data: memoryview) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size_bytes, "big")


def verify_files(store: Store, plan: LoadPlan, memory: mmap.mmap, wait_for: Callable[[int], None]) -> str:
    """Compare every file that has a checksum, while its pieces arrive; returns a summary of the comparisons.

    `wait_for` returns when a piece is in memory. Raises ChunkError if a checksum differs.
    """
    if not plan.files:
        return "every chunk's CRC32C"
    session, compared = store.session(), dict[str, int]()
    view = memoryview(memory)
    try:
        for key, info in plan.files.items():
            kept = session.stored_checksum(key, info.version)
            if kept is None:
                compared["length and ETag"] = compared.get("length and ETag", 0) + 1
                continue
            digest = _digest_of(kept[0])
            if digest is None:
                unchecked = f"length and ETag, not {kept[0].upper()} (awscrt is not installed),"
                compared[unchecked] = compared.get(unchecked, 0) + 1
                continue
            _feed(digest, session, key, plan, view, wait_for)
            found = b64encode(digest.digest()).decode()
            if found != kept[1]:
                raise ChunkError(
                    f"{key} of {store.location} is corrupt: {kept[0]} {found}, "
                    f"the store has {kept[1]}. {plan.advice}"
                )
            compared[kept[0].upper()] = compared.get(kept[0].upper(), 0) + 1
    finally:
        session.close()
        view.release()
    return ", ".join(f"{name} of {count} objects" for name, count in compared.items())


def _feed(
    digest: _Crc | hashlib._Hash,
    session: Session,
    key: str,
    plan: LoadPlan,
    memory: memoryview,
    wait_for: Callable[[int], None],
) -> None:
    version, position = plan.files[key].version, 0

    def feed_unmapped(stop: int) -> None:
        """Hash the bytes between the pieces: the header, and tensors that the model does not use."""
        for start in range(position, stop, _STEP_BYTES):
            between = bytearray(min(_STEP_BYTES, stop - start))
            read_range(session, key, start, memoryview(between), version)
            digest.update(memoryview(between))
        session.close()

    for number, piece in enumerate(plan.pieces):
        if piece.key != key:
            continue
        feed_unmapped(piece.start_bytes)
        wait_for(number)
        for run in piece.runs:
            digest.update(memory[run.offset_bytes : run.offset_bytes + run.size_bytes])
        position = piece.start_bytes + piece.size_bytes
    feed_unmapped(plan.files[key].size_bytes)


def _digest_of(algorithm: str) -> _Crc | hashlib._Hash | None:
    """A hash object; None if no installed library computes it fast enough."""
    if algorithm == "sha256":
        return hashlib.sha256()
    try:
        from awscrt import checksums  # type: ignore[import-untyped]
    except ImportError:
        return _Crc(algorithm, zlib.crc32) if algorithm == "crc32" else None
    return _Crc(algorithm, getattr(checksums, algorithm))
