"""Reads pieces of objects into a destination, over connections that are added as long as that helps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastload.checksums import crc32c
from fastload.chunk_scheduler import ChunkScheduler, Part, Piece
from fastload.destination import Destination
from fastload.errors import ChunkError, ObjectMissingError, StreamError, TransientError
from fastload.storage.retry import Backoff
from fastload.storage.store import Session, Store

# S3 gives a connection 85 to 90 MB/s; sixteen fill 10 Gbit/s. On a faster link more are added while they
# help.
FIRST_CONNECTIONS = 16
MOST_CONNECTIONS = 96
_ADDED_CONNECTIONS = 8
# An addition helps if the rate grows by at least this share of the growth in connections.
_HELPFUL_SHARE = 1 / 3
_TICK_S = 0.1
# A connection reads this long without the interpreter, which an import under way needs as well.
_SEGMENT_S = 0.25
# S3 gives a connection less than this (docs/facts/s3.md#connection-rate). Where one gets more, something else
# is the limit, and more connections do not help.
_MOST_BYTES_PER_S_AND_CONNECTION = 110e6
_MOST_READS_PER_PIECE = 4


class Reader:
    """Reads every piece once. `advice` ends the message about an unexpected object."""

    def __init__(
        self,
        store: Store,
        pieces: Sequence[Piece],
        destination: Destination,
        connections: int | None = None,
        *,
        advice: str,
        stop: threading.Event | None = None,
    ) -> None:
        self._store, self._pieces, self._destination = store, pieces, destination
        self._connections, self._advice = connections, advice
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._sessions: list[Session] = []
        self.most_connections = self.retries = self.throttled = self.corrupt_reads = 0

    def stop(self) -> None:
        """Stop reading and waiting; `run` then raises StreamError."""
        self._stop.set()
        with self._lock:
            for session in self._sessions:
                session.interrupt()

    def run(self) -> None:
        """Read until the last piece is there and verified. Raises ChunkError, StorageError, StreamError."""
        scheduler = ChunkScheduler(self._pieces, self._destination.claim)
        rates: dict[int, float] = {}
        workers: list[threading.Thread] = []

        def add(count: int) -> None:
            for _ in range(count):
                scheduler.join()
                connection = _Connection(self._new_session(), len(workers), rates)
                workers.append(
                    threading.Thread(
                        target=self._work,
                        args=(connection, scheduler),
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
        self.most_connections = scheduler.most_connections
        if self._failure is None and not scheduler.is_done:
            self._failure = StreamError("the stream was closed before it finished; open it again.")
        if self._failure is not None:
            self._destination.abandon()
            raise self._failure

    def _new_session(self) -> Session:
        session = self._store.session()
        with self._lock:
            self._sessions.append(session)
            if self._stop.is_set():
                session.interrupt()
        return session

    def _work(self, connection: _Connection, scheduler: ChunkScheduler) -> None:
        try:
            while not self._stop.is_set() and (part := scheduler.take()) is not None:
                if not self._read_part(connection, scheduler, part):
                    return
                self._settle(connection, scheduler, part)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the tensors
            with self._lock:
                if not self._stop.is_set():  # else it only says that it was stopped
                    self._failure = error
            self.stop()
            self._destination.abandon()
        finally:
            connection.session.close()

    def _read_part(self, connection: _Connection, scheduler: ChunkScheduler, part: Part) -> bool:
        """Fill a part; false if the stream was stopped, or this connection ended because of throttling."""
        backoff, asked = Backoff(self._stop.wait), False
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
        piece = part.piece.piece
        start = piece.start_bytes + part.position
        try:
            size_bytes = session.open_range(piece.key, start, part.stop - part.position, piece.version)
        except ObjectMissingError as error:
            raise ChunkError(f"{error} {self._advice}") from error
        if size_bytes != piece.object_bytes:
            raise ChunkError(
                f"{piece.key} of {self._store.location} has {size_bytes} bytes, "
                f"{piece.object_bytes} were expected. {self._advice}"
            )

    def _settle(self, connection: _Connection, scheduler: ChunkScheduler, part: Part) -> None:
        """If that was a piece's last part, verify the piece; read it again while it is corrupt."""
        flight = part.piece
        while scheduler.finish(part):
            piece = flight.piece
            found = crc32c(flight.views[0]) if piece.crc32c is not None else None
            if found == piece.crc32c:
                scheduler.complete()
                for run, view in zip(piece.runs, flight.views, strict=True):
                    self._destination.landed(run.offset_bytes, view)
                return
            with self._lock:
                self.corrupt_reads += 1
            flight.corrupt_reads += 1
            if flight.corrupt_reads == _MOST_READS_PER_PIECE:
                raise ChunkError(
                    f"{piece.key} of {self._store.location} is corrupt: CRC32C {found:08x} after "
                    f"{flight.corrupt_reads} reads, {piece.crc32c:08x} was expected. {self._advice}"
                )
            connection.session.close()  # it may be the connection that corrupts
            part = scheduler.reopen(flight)
            if not self._read_part(connection, scheduler, part):
                return

    def _gives_way(self, scheduler: ChunkScheduler, part: Part, error: TransientError) -> bool:
        """Count a failed attempt; true if the store throttles and this connection should end."""
        with self._lock:
            self.retries += 1
            self.throttled += error.throttled
        least = FIRST_CONNECTIONS // 4
        return error.throttled and self._connections is None and scheduler.leave(part, least)

    def _grow(
        self,
        scheduler: ChunkScheduler,
        workers: list[threading.Thread],
        rates: dict[int, float],
        add: Callable[[int], None],
    ) -> None:
        """Add connections as long as each addition increases the rate and nothing fails."""
        wanted_bytes_per_s, is_settled = 0.0, False
        while scheduler.has_waiting and not self.retries and scheduler.connections < MOST_CONNECTIONS:
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
    """One thread's session; `rates` has the rate of each connection's last segment, bytes per second."""

    session: Session
    number: int
    rates: dict[int, float]

    def segment_bytes(self) -> int:
        """What it reads in a call's time; nothing is known at first, and after connections were added."""
        return int(self.rates.get(self.number, 0.0) * _SEGMENT_S)
