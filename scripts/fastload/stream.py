"""Reads chunks into one buffer, in parallel, verified as they arrive; tensors are views of the buffer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastload.chunk_scheduler import Piece, Run
from fastload.destination import Destination, open_destination
from fastload.errors import StreamError
from fastload.manifest import Manifest, RankEntry, load_manifest
from fastload.reader import MOST_CONNECTIONS, Reader
from fastload.storage.store import Store, open_store

if TYPE_CHECKING:
    import torch

# The end of messages about chunks that are missing or differ from the manifest.
SHARD_AGAIN = "The manifest says otherwise: the shards are incomplete or damaged; shard again."
_WAKE_S = 0.5


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """Statistics of a finished stream. Times are seconds since the epoch; `connections` is the maximum."""

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

    Returns immediately; separate threads read the bytes, before and while the framework is imported. Errors
    are raised by `Stream.tensors`. `connections` is their fixed number; by default it adapts to the link.
    """
    if connections is not None and not 1 <= connections <= MOST_CONNECTIONS:
        raise StreamError(
            f"connections is {connections}; choose 1 to {MOST_CONNECTIONS}, or omit it to adapt."
        )
    return Stream(location, rank, device, connections)


class Stream:
    """A load in progress. Close it, or use it as a context manager, to stop early; returned tensors stay
    valid.
    """

    def __init__(self, location: str, rank: int, device: str, connections: int | None) -> None:
        self._store: Store = open_store(location)
        self._rank, self._device, self._connections = rank, device, connections
        self._manifest_session = self._store.session()
        self._stop = threading.Event()
        self._is_closed = False
        self._failure: BaseException | None = None
        self._reader: Reader | None = None
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
        """The statistics; waits for the last byte. Raises like `tensors`."""
        self._wait()
        assert self._manifest is not None and self._reader is not None, "the stream has ended well"
        return StreamStatistics(
            started_s=self._started_s,
            finished_s=self._finished_s,
            size_bytes=self._manifest.rank(self._rank).size_bytes,
            connections=self._reader.most_connections,
            retries=self._reader.retries,
            throttled=self._reader.throttled,
            corrupt_reads=self._reader.corrupt_reads,
        )

    def close(self) -> None:
        """Stop reading. The buffer is freed with the last returned tensor."""
        self._is_closed = True
        self._stop.set()
        self._manifest_session.interrupt()
        if self._reader is not None:
            self._reader.stop()
        if self._destination is not None:
            self._destination.abandon()
        self._join()
        self._destination = None

    def _join(self) -> None:
        # A wait without an end does not notice Ctrl-C under Python 3.13.
        while self._thread.is_alive():
            self._thread.join(_WAKE_S)

    def _wait(self) -> None:
        self._join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._manifest = load_manifest(self._store, self._manifest_session)
            entry = self._manifest.rank(self._rank)
            chunk_bytes = self._manifest.chunk_bytes
            self._destination = open_destination(self._device, entry.size_bytes, chunk_bytes)
            self._reader = Reader(
                self._store,
                chunk_pieces(entry, chunk_bytes),
                self._destination,
                self._connections,
                advice=SHARD_AGAIN,
                stop=self._stop,
            )
            self._reader.run()
            self._destination.finish()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the tensors
            self._failure = _closed() if self._is_closed else error
        self._finished_s = time.time()


def _closed() -> StreamError:
    return StreamError("the stream was closed before it finished; open it again.")


def chunk_pieces(entry: RankEntry, chunk_bytes: int) -> list[Piece]:
    """One rank's chunks as pieces of its buffer."""
    return [
        Piece(
            chunk.key,
            chunk.size_bytes,
            0,
            chunk.size_bytes,
            (Run(0, index * chunk_bytes, chunk.size_bytes),),
            chunk.crc32c,
        )
        for index, chunk in enumerate(entry.chunks)
    ]
