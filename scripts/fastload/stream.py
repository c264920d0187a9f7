"""Chunks to one buffer, in parallel, verified as they arrive; tensors are views of the buffer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastload.checksums import crc32c
from fastload.chunk_scheduler import ChunkScheduler, Part
from fastload.destination import Destination, open_destination
from fastload.errors import ChunkError, ObjectMissingError, StreamError, TransientError
from fastload.manifest import Manifest, RankEntry, read_manifest
from fastload.storage.retry import Backoff
from fastload.storage.store import Session, Store, open_store

if TYPE_CHECKING:
    import torch

# S3 gives a connection 85 to 90 MB/s; sixteen fill 10 Gbit/s. On a faster link more are added while they
# help.
FIRST_CONNECTIONS = 16
MOST_CONNECTIONS = 96
_ADDED_CONNECTIONS = 8
# An addition helps if the rate grows by at least this share of what the number of connections grew by.
_HELPFUL_SHARE = 1 / 3
_TICK_S = 0.1
# A connection reads this long without the interpreter, which an import under way needs as well.
_SEGMENT_S = 0.25
# S3 gives a connection less than this (docs/facts/s3.md#connection-rate). Where one gets more, something else
# is the limit, and more connections do not help.
_MOST_BYTES_PER_S_AND_CONNECTION = 110e6
_MOST_READS_PER_CHUNK = 4


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What a finished stream did. Times are seconds since the epoch; `connections` is the most there were."""

    started_s: float
    finished_s: float
    size_bytes: int
    connections: int
    retries: int
    throttled: int
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
    Failures are raised by `Stream.tensors`. `connections` fixes their number; by default it adapts to the
    link.
    """
    if connections is not None and not 1 <= connections <= MOST_CONNECTIONS:
        raise StreamError(
            f"connections is {connections}; choose 1 to {MOST_CONNECTIONS}, or leave it out to adapt."
        )
    return Stream(location, rank, device, connections)


class Stream:
    """A load under way. Close it, or use it as a context manager, to stop early; tensors handed out stay
    valid.
    """

    def __init__(self, location: str, rank: int, device: str, connections: int | None) -> None:
        self._store: Store = open_store(location)
        self._rank, self._device, self._connections = rank, device, connections
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._most_connections = self._retries = self._throttled = self._corrupt_reads = 0
        self._manifest: Manifest | None = None
        self._destination: Destination | None = None
        self._started_s, self._finished_s = time.time(), 0.0
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

        if self._destination is None or self._manifest is None:
            raise StreamError("the stream was closed; open it again.")
        entry = self._manifest.rank(self._rank)
        return tensor_views(self._destination.base(), entry, self._manifest.aliases)

    @property
    def statistics(self) -> StreamStatistics:
        """What happened; waits for the last byte. Raises like `tensors`."""
        self._wait()
        return StreamStatistics(
            started_s=self._started_s,
            finished_s=self._finished_s,
            size_bytes=self._manifest.rank(self._rank).size_bytes if self._manifest else 0,
            connections=self._most_connections,
            retries=self._retries,
            throttled=self._throttled,
            corrupt_reads=self._corrupt_reads,
        )

    def close(self) -> None:
        """Stop reading. The buffer goes when the last tensor handed out does."""
        self._stop.set()
        if self._destination is not None:
            self._destination.abandon()
        self._thread.join()
        self._destination = None

    def _wait(self) -> None:
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._manifest = read_manifest(self._store.location)
            entry = self._manifest.rank(self._rank)
            self._destination = open_destination(self._device, entry.size_bytes, self._manifest.chunk_bytes)
            self._read_chunks(entry, self._manifest.chunk_bytes, self._destination)
            self._destination.finish()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the tensors
            self._failure = error
        self._finished_s = time.time()

    def _read_chunks(self, entry: RankEntry, chunk_bytes: int, destination: Destination) -> None:
        scheduler = ChunkScheduler(entry.chunks, chunk_bytes, destination.claim)
        rates: dict[int, float] = {}
        workers: list[threading.Thread] = []

        def add(count: int) -> None:
            for _ in range(count):
                scheduler.join()
                connection = _Connection(self._store.session(), len(workers), rates)
                workers.append(
                    threading.Thread(
                        target=self._work,
                        args=(connection, scheduler, destination),
                        name=f"fastload-connection-{connection.number}",
                        daemon=True,
                    )
                )
                workers[-1].start()

        add(self._connections or FIRST_CONNECTIONS)
        if self._connections is None:
            self._grow(scheduler, workers, rates, add)
        for worker in workers:
            worker.join()
        self._most_connections = scheduler.most_connections
        if self._failure is None and not scheduler.is_done:
            self._failure = StreamError("the stream was closed before it finished; open it again.")
        if self._failure is not None:
            destination.abandon()
            raise self._failure

    def _work(self, connection: _Connection, scheduler: ChunkScheduler, destination: Destination) -> None:
        try:
            while not self._stop.is_set() and (part := scheduler.take()) is not None:
                if not self._read_part(connection, scheduler, part):
                    return
                self._settle(connection, scheduler, part, destination)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the tensors
            self._failure = self._failure or error
            self._stop.set()
            destination.abandon()
        finally:
            connection.session.close()

    def _read_part(self, connection: _Connection, scheduler: ChunkScheduler, part: Part) -> bool:
        """Fill a part; false if the stream was stopped, or this connection gave way because of throttling."""
        backoff, asked = Backoff(), False
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                view = scheduler.next_segment(part, connection.segment_bytes())
                if not len(view):
                    return True
                if not asked:
                    self._ask(connection.session, part)
                    asked = True
                connection.session.fill(view)
            except TransientError as error:
                asked = False
                if self._gives_way(scheduler, part, error):
                    return False
                backoff.after(error)
            else:
                part.position += len(view)
                connection.rates[connection.number] = len(view) / max(time.monotonic() - began_s, 1e-9)
        return False

    def _ask(self, session: Session, part: Part) -> None:
        entry = part.chunk.entry
        try:
            size_bytes = session.open_range(entry.key, part.position, part.stop - part.position)
        except ObjectMissingError as error:
            raise ChunkError(
                f"{error} The manifest lists it: the shards are incomplete; shard again."
            ) from error
        if size_bytes != entry.size_bytes:
            raise ChunkError(
                f"chunk {entry.key} of {self._store.location} has {size_bytes} bytes, "
                f"the manifest says {entry.size_bytes}; shard again."
            )

    def _settle(
        self, connection: _Connection, scheduler: ChunkScheduler, part: Part, destination: Destination
    ) -> None:
        """If that was a chunk's last part, verify the chunk; read it again while it is corrupt."""
        chunk = part.chunk
        while scheduler.finish(part):
            found = crc32c(chunk.view)
            if found == chunk.entry.crc32c:
                scheduler.complete()
                destination.landed(chunk.offset_bytes, chunk.view)
                return
            with self._lock:
                self._corrupt_reads += 1
            chunk.corrupt_reads += 1
            if chunk.corrupt_reads == _MOST_READS_PER_CHUNK:
                raise ChunkError(
                    f"chunk {chunk.entry.key} of {self._store.location} is corrupt: CRC32C {found:08x} after "
                    f"{chunk.corrupt_reads} reads, the manifest says {chunk.entry.crc32c:08x}; shard again."
                )
            connection.session.close()  # it may be the connection that corrupts
            part = scheduler.reopen(chunk)
            if not self._read_part(connection, scheduler, part):
                return

    def _gives_way(self, scheduler: ChunkScheduler, part: Part, error: TransientError) -> bool:
        """Count a failed attempt; true if the store throttles and this connection should leave."""
        with self._lock:
            self._retries += 1
            self._throttled += error.throttled
        least = FIRST_CONNECTIONS // 4
        return error.throttled and self._connections is None and scheduler.leave(part, least)

    def _grow(
        self,
        scheduler: ChunkScheduler,
        workers: list[threading.Thread],
        rates: dict[int, float],
        add: Callable[[int], None],
    ) -> None:
        """Add connections as long as each addition makes the whole faster and nothing fails."""
        wanted_bytes_per_s, is_settled = 0.0, False
        while scheduler.has_waiting and not self._retries and scheduler.connections < MOST_CONNECTIONS:
            alive = [worker for worker in workers if worker.is_alive()]
            if not alive:
                return
            alive[0].join(_TICK_S)
            connections = scheduler.connections
            if len(rates) < connections:
                continue
            rate_bytes_per_s = sum(rates.values())
            rates.clear()
            if not is_settled:  # what began before the last addition says little about the time after it
                is_settled = True
                continue
            is_limited_otherwise = rate_bytes_per_s / connections > _MOST_BYTES_PER_S_AND_CONNECTION
            if rate_bytes_per_s < wanted_bytes_per_s or is_limited_otherwise or self._stop.is_set():
                return
            wanted_bytes_per_s = rate_bytes_per_s * (1 + _HELPFUL_SHARE * _ADDED_CONNECTIONS / connections)
            add(_ADDED_CONNECTIONS)
            is_settled = False


@dataclass(frozen=True, slots=True)
class _Connection:
    """One thread's session; `rates` holds what each connection's last segment came at, bytes per second."""

    session: Session
    number: int
    rates: dict[int, float]

    def segment_bytes(self) -> int:
        """What it reads in a call's time; nothing is known at first, and after connections were added."""
        return int(self.rates.get(self.number, 0.0) * _SEGMENT_S)
