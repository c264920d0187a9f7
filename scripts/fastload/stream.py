"""Chunks to one buffer, in parallel, verified as they arrive; tensors are views of the buffer."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastload.destination import Destination, open_destination
from fastload.errors import ChunkError, ObjectMissingError, StreamError, TransientError
from fastload.manifest import ChunkEntry, Manifest, RankEntry
from fastload.objects import Session, Store, open_store
from fastload.shard import read_manifest

if TYPE_CHECKING:
    import torch

DEFAULT_CONNECTIONS = 16
_MOST_READS_PER_CHUNK = 4


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What a finished stream did. Times are seconds since the epoch."""

    started_s: float
    finished_s: float
    size_bytes: int
    connections: int
    retries: int
    corrupt_reads: int

    @property
    def rate_bytes_per_s(self) -> float:
        """Bytes of weights over the whole time, the manifest's reading included."""
        return self.size_bytes / max(self.finished_s - self.started_s, 1e-9)


def open_stream(
    location: str, *, rank: int = 0, device: str = "cpu", connections: int | None = None
) -> Stream:
    """Start to load one rank's tensors from the folder of a manifest: "s3://bucket/prefix/" or a path.

    Returns at once; bytes flow from threads of their own, before and while the framework is imported.
    Failures are raised by `Stream.tensors`. `connections` fixes their number; by default it adapts.
    """
    return Stream(location, rank, device, connections)


class Stream:
    """A load under way. Close it, or use it as a context manager, to stop early; tensors stay valid."""

    def __init__(self, location: str, rank: int, device: str, connections: int | None) -> None:
        self._store: Store = open_store(location)
        self._rank, self._device = rank, device
        self._connections = connections or DEFAULT_CONNECTIONS
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._retries = 0
        self._corrupt_reads = 0
        self._manifest: Manifest | None = None
        self._entry: RankEntry | None = None
        self._destination: Destination | None = None
        self._started_s = time.time()
        self._finished_s = 0.0
        self._thread = threading.Thread(target=self._run, name="fastload-stream", daemon=True)
        self._thread.start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Wait for the last byte and return every tensor by name, tied ones under both names.

        All are views of one buffer. Raises what went wrong: ManifestError, ChunkError, StorageError,
        StreamError.
        """
        self._wait()
        from fastload.tensors import tensor_views

        if self._destination is None or self._entry is None or self._manifest is None:
            raise StreamError("the stream was closed before it finished; open it again.")
        return tensor_views(self._destination.base(), self._entry, self._manifest.aliases)

    @property
    def statistics(self) -> StreamStatistics:
        """What happened; waits for the last byte."""
        self._wait()
        return StreamStatistics(
            started_s=self._started_s,
            finished_s=self._finished_s,
            size_bytes=self._entry.size_bytes if self._entry else 0,
            connections=self._connections,
            retries=self._retries,
            corrupt_reads=self._corrupt_reads,
        )

    def close(self) -> None:
        """Stop reading. Tensors handed out before stay valid; the buffer goes when the last of them does."""
        self._stop.set()
        self._thread.join()
        self._destination = None

    def _wait(self) -> None:
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._manifest = read_manifest(self._store.location)
            self._entry = self._manifest.rank(self._rank)
            self._destination = open_destination(self._device, self._entry.size_bytes)
            self._read_chunks(self._entry, self._manifest.chunk_bytes, self._destination)
            self._destination.finish()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the tensors
            self._failure = error
        self._finished_s = time.time()

    def _read_chunks(self, entry: RankEntry, chunk_bytes: int, destination: Destination) -> None:
        queue = deque((index * chunk_bytes, chunk) for index, chunk in enumerate(entry.chunks))
        count = min(self._connections, len(queue))
        workers = [
            threading.Thread(
                target=self._work,
                args=(queue, destination),
                name=f"fastload-connection-{number}",
                daemon=True,
            )
            for number in range(count)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self._failure is not None:
            raise self._failure
        if queue:
            raise StreamError("the stream was closed before it finished; open it again.")

    def _work(self, queue: deque[tuple[int, ChunkEntry]], destination: Destination) -> None:
        session = self._store.session(self._retried)
        try:
            while queue and not self._stop.is_set():
                try:
                    offset_bytes, chunk = queue.popleft()
                except IndexError:  # another connection took the last one
                    return
                view = destination.claim(offset_bytes, chunk.size_bytes)
                self._read_chunk(session, chunk, view)
                destination.landed(offset_bytes, view)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the tensors
            self._failure = self._failure or error
            self._stop.set()
        finally:
            session.close()

    def _read_chunk(self, session: Session, chunk: ChunkEntry, view: memoryview) -> None:
        for _ in range(_MOST_READS_PER_CHUNK):
            try:
                found = session.read_into(chunk.key, 0, view)
            except ObjectMissingError as error:
                raise ChunkError(
                    f"{error} The manifest lists it: the shards are incomplete; shard again."
                ) from error
            if found == chunk.crc32c:
                return
            session.close()  # what corrupted it may be the connection
            with self._lock:
                self._corrupt_reads += 1
        raise ChunkError(
            f"chunk {chunk.key} of {self._store.location} is corrupt: CRC32C {found:08x} after "
            f"{_MOST_READS_PER_CHUNK} reads, the manifest says {chunk.crc32c:08x}; shard again."
        )

    def _retried(self, error: TransientError) -> None:
        with self._lock:
            self._retries += 1
