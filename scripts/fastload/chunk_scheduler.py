"""Decides which bytes of which piece a connection reads next.

Pieces are assigned whole and in order. When none is left, an idle connection takes the second half of the
longest remaining part: a slow or stalled connection does not delay the end, and large chunks, which need
fewer requests, do not either.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The least that one call reads; what it reads cannot be removed from it.
SEGMENT_BYTES = 4 << 20
_LEAST_SPLIT_BYTES = 2 << 20
_SPLIT_ALIGNMENT_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive bytes of a piece, `start_bytes` from its beginning, that stay consecutive at
    `offset_bytes` of the destination.
    """

    start_bytes: int
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one object for one request, and their destination: `runs` cover it without gaps.

    `crc32c` is the checksum of a piece with one run. With `version`, the object must not have changed.
    """

    key: str
    object_bytes: int
    start_bytes: int
    size_bytes: int
    runs: tuple[Run, ...]
    crc32c: int | None = None
    version: str | None = None


class PieceInFlight:
    """A piece that is being read, with the memory of each of its runs."""

    def __init__(self, piece: Piece, views: Sequence[memoryview]) -> None:
        self.piece = piece
        self.views = views
        self.open_parts = 1
        self.corrupt_reads = 0
        self._starts = [run.start_bytes for run in piece.runs]

    def memory(self, start: int, stop: int) -> memoryview:
        """The memory of the piece's bytes from `start` on, to `stop` or the end of their run."""
        index = bisect_right(self._starts, start) - 1
        first = self._starts[index]
        return self.views[index][start - first : stop - first]


class Part:
    """Bytes `position` to `stop` of a piece, to be read by one connection.

    `reserved` is the end of the segment that is being read; only bytes after it can be reassigned.
    """

    def __init__(self, piece: PieceInFlight, start: int, stop: int) -> None:
        self.piece = piece
        self.position = start
        self.reserved = start
        self.stop = stop


class ChunkScheduler:
    """Hands out parts to connections; safe for use by many threads."""

    def __init__(self, pieces: Sequence[Piece], claim: Callable[[int, int], memoryview]) -> None:
        self._waiting = deque(pieces)
        self._waiting_bytes = sum(piece.size_bytes for piece in pieces)
        self._claim = claim
        self._reading: list[Part] = []
        self._left_over: list[Part] = []
        self._connections = 0
        self.most_connections = 0
        self._left_pieces = len(pieces)
        self._lock = threading.Lock()

    @property
    def is_done(self) -> bool:
        """Whether every piece is complete and, where it has a checksum, verified."""
        return self._left_pieces == 0

    @property
    def has_waiting(self) -> bool:
        """Whether there are pieces that no connection reads yet."""
        return bool(self._waiting)

    @property
    def connections(self) -> int:
        """Connections at work."""
        return self._connections

    def join(self) -> None:
        """Another connection is about to take parts."""
        with self._lock:
            self._connections += 1
            self.most_connections = max(self.most_connections, self._connections)

    def take(self) -> Part | None:
        """The next part to read, or None: then the connection must end, because the others are enough for the
        rest.
        """
        with self._lock:
            if self._waiting:
                piece = self._waiting.popleft()
                self._waiting_bytes -= piece.size_bytes
            else:
                part = self._left_over.pop() if self._left_over else self._split()
                if part is None:
                    self._connections -= 1
                else:
                    self._reading.append(part)
                return part
        # Outside the lock: memory on its way to a GPU may have to be waited for.
        views = [self._claim(run.offset_bytes, run.size_bytes) for run in piece.runs]
        part = Part(PieceInFlight(piece, views), 0, piece.size_bytes)
        with self._lock:
            self._reading.append(part)
        return part

    def next_segment(self, part: Part, wanted_bytes: int) -> memoryview:
        """The memory that the part's connection fills next; empty at the end.

        As long as `wanted_bytes`, so that the interpreter is seldom needed, but at most half of one
        connection's share of what is left, so that all end together. Source: C. Polychronopoulos, D. Kuck,
        "Guided Self-Scheduling", IEEE Transactions on Computers 36 (1987).
        """
        with self._lock:
            left_bytes = sum(other.stop - other.position for other in self._reading)
            left_bytes += self._waiting_bytes
            share_bytes = left_bytes // (2 * max(self._connections, 1))
            stop = min(part.position + max(SEGMENT_BYTES, min(wanted_bytes, share_bytes)), part.stop)
            view = part.piece.memory(part.position, stop)
            part.reserved = part.position + len(view)
            return view

    def leave(self, part: Part, least_connections: int) -> bool:
        """Leave `part` to the others, unless at most `least_connections` are at work; true if the caller must
        go.
        """
        with self._lock:
            if self._connections <= least_connections:
                return False
            self._connections -= 1
            self._reading.remove(part)
            self._left_over.append(part)
            return True

    def finish(self, part: Part) -> bool:
        """Mark the part as done; true if it was the last of its piece, which can then be verified."""
        with self._lock:
            self._reading.remove(part)
            part.piece.open_parts -= 1
            return part.piece.open_parts == 0

    def complete(self) -> None:
        """A piece has been verified."""
        with self._lock:
            self._left_pieces -= 1

    def reopen(self, piece: PieceInFlight) -> Part:
        """Read a whole piece again."""
        part = Part(piece, 0, piece.piece.size_bytes)
        with self._lock:
            piece.open_parts = 1
            self._reading.append(part)
        return part

    def _split(self) -> Part | None:
        victim = max(self._reading, key=lambda part: part.stop - part.reserved, default=None)
        if victim is None or victim.stop - victim.reserved < 2 * _LEAST_SPLIT_BYTES:
            return None
        middle = (victim.reserved + victim.stop) // 2 // _SPLIT_ALIGNMENT_BYTES * _SPLIT_ALIGNMENT_BYTES
        part = Part(victim.piece, middle, victim.stop)
        victim.stop = middle
        victim.piece.open_parts += 1
        return part
