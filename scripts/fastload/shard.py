"""Converts a checkpoint to uniform chunks, one sequence per tensor-parallel rank.

Work goes stripe by stripe: the i-th chunk of every rank is built from one reading of the source. Stripes are
independent, so a few workers overlap reading and writing in bounded memory, and a killed job resumes: a
chunk's key contains its index and CRC32C, and objects are written atomically, so a listing shows what is
finished.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from fastload.checkpoint import Checkpoint, read_checkpoint
from fastload.checksums import crc32c
from fastload.errors import PartitionError, ShardError
from fastload.layout import Copy, Layout, Scatter, plan_layout, stripe_parts
from fastload.manifest import (
    FORMAT_VERSION,
    MANIFEST_KEY,
    ChunkEntry,
    Manifest,
    RankEntry,
    dump_manifest,
    read_manifest,
)
from fastload.storage.store import (
    ObjectInfo,
    Session,
    Store,
    interruptible_sessions,
    open_store,
    read_range,
)
from fastload.tensor_partition import DEGREES
from fastload.tied_weights import find_aliases

# Fewer, larger requests were measured 10 % faster than 8 MiB ones (docs/performance.md).
_LEAST_CHUNK_BYTES, _MOST_CHUNK_BYTES = 64 << 10, 32 << 20
_USUAL_STRIPE_BYTES = 64 << 20
# Chunks of all workers together; with the interpreter, numpy and one block per worker it stays under 512 MiB.
_MEMORY_BYTES = 256 << 20
_BLOCK_BYTES = 8 << 20
# Gaps between two tensors up to this size are read and discarded, instead of making two requests.
_GAP_BYTES = 64 << 10
_MOST_WORKERS = 4
_CHUNK_KEY = re.compile(r"rank-(\d+)/(\d{6})-([0-9a-f]{8})\.chunk")


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """Bytes of finished chunks, those of an earlier attempt included."""

    done_bytes: int
    total_bytes: int


def source_digest(source: str) -> str:
    """Digest of a checkpoint's content (64 hexadecimal digits), which identifies identical jobs."""
    return read_checkpoint(open_store(source)).digest


def shard_checkpoint(
    source: str,
    destination: str,
    *,
    tensor_parallel_degree: int = 1,
    chunk_bytes: int | None = None,
    progress: Callable[[ShardProgress], None] | None = None,
) -> Manifest:
    """Write the checkpoint at `source` as chunks and a manifest under `destination`.

    Both are "s3://bucket/prefix/" or a folder. A destination with the result of the same job is not changed;
    a partial result is completed. `progress` is called from worker threads, one call at a time. Raises
    CheckpointError, PartitionError, ShardError, StorageError.
    """
    if tensor_parallel_degree not in DEGREES:
        raise PartitionError(
            f"tensor-parallel degree {tensor_parallel_degree} is not one of {', '.join(map(str, DEGREES))}."
        )
    if chunk_bytes is None:
        chunk_bytes = min(_MOST_CHUNK_BYTES, _USUAL_STRIPE_BYTES // tensor_parallel_degree)
    if not _LEAST_CHUNK_BYTES <= chunk_bytes <= _MOST_CHUNK_BYTES or chunk_bytes % 4096:
        raise ShardError(
            f"chunk_bytes is {chunk_bytes}; it must be a multiple of 4096 from 64 KiB to 32 MiB."
        )
    source_store, target_store = open_store(source), open_store(destination)
    checkpoint = read_checkpoint(source_store)
    present = target_store.listing()
    finished = _finished_job(target_store, present, checkpoint.digest, tensor_parallel_degree, chunk_bytes)
    if finished is not None:
        return finished
    aliases = find_aliases(source_store, checkpoint)
    layout = plan_layout(checkpoint, tensor_parallel_degree, frozenset(aliases))
    folder = _chunk_folder(checkpoint.digest, tensor_parallel_degree, chunk_bytes)
    job = _Job(source_store, target_store, checkpoint, layout, chunk_bytes, folder, progress)
    job.resume(present)
    job.run()
    manifest = job.manifest(aliases)
    data = dump_manifest(manifest)
    session = target_store.session()
    session.write(MANIFEST_KEY, data, crc32c(data))
    session.close()
    return manifest


def _finished_job(
    store: Store, present: dict[str, ObjectInfo], digest: str, degree: int, chunk_bytes: int
) -> Manifest | None:
    """The manifest of an identical job, if it exists with all its chunks."""
    if MANIFEST_KEY not in present:
        return None
    manifest = read_manifest(store.location)
    if (manifest.source_digest, manifest.tensor_parallel_degree, manifest.chunk_bytes) != (
        digest,
        degree,
        chunk_bytes,
    ):
        raise ShardError(
            f"{store.location} already holds other shards (source {manifest.source_digest[:12]}, degree "
            f"{manifest.tensor_parallel_degree}, chunks of {manifest.chunk_bytes} bytes); "
            "choose another destination or remove them first."
        )
    chunks = [chunk for rank in manifest.ranks for chunk in rank.chunks]
    complete = all(c.key in present and present[c.key].size_bytes == c.size_bytes for c in chunks)
    return manifest if complete else None


def _chunk_folder(digest: str, degree: int, chunk_bytes: int) -> str:
    """One folder per job, so that chunks of different jobs do not mix."""
    identity = f"{FORMAT_VERSION} {digest} {degree} {chunk_bytes}"
    return f"chunks-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


class _Job:
    """One sharding job: what is done, and the workers that do the rest."""

    def __init__(
        self,
        source: Store,
        target: Store,
        checkpoint: Checkpoint,
        layout: Layout,
        chunk_bytes: int,
        folder: str,
        progress: Callable[[ShardProgress], None] | None,
    ) -> None:
        self._source, self._target = source, target
        self._checkpoint, self._layout = checkpoint, layout
        self._chunk_bytes, self._folder, self._progress = chunk_bytes, folder, progress
        self._stripes = -(-layout.size_bytes // chunk_bytes)
        self._checksums: dict[tuple[int, int], int] = {}
        self._done_bytes = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def resume(self, present: dict[str, ObjectInfo]) -> None:
        """Adopt the chunks that an earlier attempt finished."""
        for key, listed in present.items():
            found = _CHUNK_KEY.fullmatch(key.removeprefix(f"{self._folder}/"))
            if found and key.startswith(self._folder):
                rank, stripe, checksum = int(found[1]), int(found[2]), int(found[3], 16)
                if stripe < self._stripes and listed.size_bytes == self._length(stripe):
                    self._checksums[rank, stripe] = checksum
                    self._done_bytes += listed.size_bytes

    def run(self) -> None:
        """Build and write every missing chunk. The first failure stops all workers and is raised."""
        ranks = range(self._layout.degree)
        todo = [s for s in range(self._stripes) if any((rank, s) not in self._checksums for rank in ranks)]
        workers = max(1, min(_MOST_WORKERS, _MEMORY_BYTES // (self._chunk_bytes * self._layout.degree)))
        queue = iter(todo)
        with (
            ThreadPoolExecutor(workers, thread_name_prefix="fastload-shard") as pool,
            interruptible_sessions() as session,
        ):
            futures = [pool.submit(self._work, queue, session) for _ in range(workers)]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
            for future in done:
                future.result()

    def manifest(self, aliases: dict[str, str]) -> Manifest:
        """The manifest of the finished job."""
        widths: Counter[str] = Counter()
        for tensor in self._checkpoint.tensors:
            widths[tensor.dtype] += tensor.size_bytes
        return Manifest(
            source_digest=self._checkpoint.digest,
            dtype=widths.most_common(1)[0][0],
            tensor_parallel_degree=self._layout.degree,
            chunk_bytes=self._chunk_bytes,
            aliases=aliases,
            ranks=tuple(
                RankEntry(rank, self._layout.size_bytes, self._layout.entries(rank), self._chunks(rank))
                for rank in range(self._layout.degree)
            ),
        )

    def _chunks(self, rank: int) -> tuple[ChunkEntry, ...]:
        return tuple(
            ChunkEntry(
                self._key(rank, s, self._checksums[rank, s]), self._length(s), self._checksums[rank, s]
            )
            for s in range(self._stripes)
        )

    def _key(self, rank: int, stripe: int, checksum: int) -> str:
        return f"{self._folder}/rank-{rank}/{stripe:06d}-{checksum:08x}.chunk"

    def _length(self, stripe: int) -> int:
        return min(self._chunk_bytes, self._layout.size_bytes - stripe * self._chunk_bytes)

    def _work(self, queue: Iterator[int], session: Callable[[Store], Session]) -> None:
        source, target = session(self._source), session(self._target)
        buffers = [bytearray(self._chunk_bytes) for _ in range(self._layout.degree)]
        try:
            while not self._stop.is_set():
                with self._lock:
                    stripe = next(queue, None)
                if stripe is None:
                    return
                views = [memoryview(buffer)[: self._length(stripe)] for buffer in buffers]
                self._fill(source, stripe, views)
                for rank, view in enumerate(views):
                    self._write(target, rank, stripe, view)
        finally:
            source.close()
            target.close()

    def _write(self, target: Session, rank: int, stripe: int, view: memoryview) -> None:
        if (rank, stripe) in self._checksums:
            return
        checksum = crc32c(view)
        target.write(self._key(rank, stripe, checksum), view, checksum)
        with self._lock:
            self._checksums[rank, stripe] = checksum
            self._done_bytes += len(view)
            if self._progress is not None:
                self._progress(ShardProgress(self._done_bytes, self._layout.size_bytes * self._layout.degree))

    def _fill(self, source: Session, stripe: int, views: list[memoryview]) -> None:
        start_bytes = stripe * self._chunk_bytes
        parts = stripe_parts(self._layout, start_bytes, start_bytes + len(views[0]))
        covered = Counter[int]()
        for part in parts:
            for rank in part.ranks if isinstance(part, Copy) else range(len(views)):
                covered[rank] += part.length_bytes
        for rank, view in enumerate(views):
            if covered[rank] < len(view):  # gaps between tensors are zero, whatever the buffer held before
                view[:] = bytes(len(view))
        for group in _neighbours(part for part in parts if isinstance(part, Copy)):
            self._copy(source, group, views)
        for part in parts:
            if isinstance(part, Scatter):
                self._scatter(source, part, views)

    def _copy(self, source: Session, group: list[Copy], views: list[memoryview]) -> None:
        """One request for the group; a single copy is read into place."""
        first, last = group[0], group[-1]
        version = self._checkpoint.files[first.file].version
        if len(group) == 1:
            block = _stretch(views[first.ranks[0]], first)
            read_range(source, first.file, first.start_bytes, block, version)
        else:
            block = memoryview(bytearray(last.start_bytes + last.length_bytes - first.start_bytes))
            read_range(source, first.file, first.start_bytes, block, version)
        for part in group:
            piece = block[part.start_bytes - first.start_bytes :][: part.length_bytes]
            for rank in part.ranks[1:] if len(group) == 1 else part.ranks:
                _stretch(views[rank], part)[:] = piece

    def _scatter(self, source: Session, part: Scatter, views: list[memoryview]) -> None:
        import numpy  # 60 ms and 30 MB that only column cuts need

        tensor, degree = part.tensor, len(views)
        row_bytes = tensor.row_bytes()
        width = row_bytes // degree
        version = self._checkpoint.files[tensor.source.file].version
        first_row, end = part.first_byte // width, part.first_byte + part.length_bytes
        stop_row = -(-end // width)
        rows_per_block = max(1, _BLOCK_BYTES // row_bytes)
        for row in range(first_row, stop_row, rows_per_block):
            rows = min(rows_per_block, stop_row - row)
            block = bytearray(rows * row_bytes)
            read_range(
                source,
                tensor.source.file,
                tensor.source.start_bytes + row * row_bytes,
                memoryview(block),
                version,
            )
            table = numpy.frombuffer(block, dtype=numpy.uint8).reshape(rows, degree, width)
            # The stretch may begin or end inside a row: cut the block to it.
            cut = slice(max(part.first_byte - row * width, 0), min(end - row * width, rows * width))
            place = part.offset_bytes + row * width + cut.start - part.first_byte
            for rank, view in enumerate(views):
                piece = numpy.ascontiguousarray(table[:, rank, :]).reshape(-1)[cut]
                view[place : place + len(piece)] = piece.data


def _neighbours(copies: Iterable[Copy]) -> Iterator[list[Copy]]:
    """Copies that lie side by side in the source, as lists to be read at once.

    Tensors of a few bytes lie 256 apart in the buffer: each would be a request, and a checkpoint can hold
    tens of thousands of them.
    """
    group: list[Copy] = []
    for part in copies:
        if group:
            first, last = group[0], group[-1]
            gap_bytes = part.start_bytes - last.start_bytes - last.length_bytes
            whole_bytes = part.start_bytes + part.length_bytes - first.start_bytes
            if part.file != first.file or not 0 <= gap_bytes <= _GAP_BYTES or whole_bytes > _BLOCK_BYTES:
                yield group
                group = []
        group.append(part)
    if group:
        yield group


def _stretch(view: memoryview, part: Copy) -> memoryview:
    return view[part.offset_bytes : part.offset_bytes + part.length_bytes]
