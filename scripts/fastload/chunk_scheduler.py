"""Which bytes of which chunk a connection reads next.

Chunks are handed out whole and in order. When none is left, an idle connection takes the second half of
whatever has most left to read: a slow or stalled connection does not hold up the end, and large chunks, which
save requests, cost nothing there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from fastload.manifest import ChunkEntry

# The least that one call reads; what it reads cannot be taken away from it.
SEGMENT_BYTES = 4 << 20
_LEAST_SPLIT_BYTES = 2 << 20
_SPLIT_ALIGNMENT_BYTES = 64 << 10


class ChunkInFlight:
    """A chunk some of whose bytes are being read."""

    def __init__(self, entry: ChunkEntry, offset_bytes: int, view: memoryview) -> None:
        self.entry = entry
        self.offset_bytes = offset_bytes
        self.view = view
        self.open_parts = 1
        self.corrupt_reads = 0


class Part:
    """Bytes `position` to `stop` of a chunk, to be read by one connection.

    `reserved` is the end of the segment being read now; only what lies behind it can be taken away.
    """

    def __init__(self, chunk: ChunkInFlight, start: int, stop: int) -> None:
        self.chunk = chunk
        self.position = start
        self.reserved = start
        self.stop = stop


class ChunkScheduler:
    """Hands out parts to connections; safe for use by many threads."""

    def __init__(
        self, chunks: Sequence[ChunkEntry], chunk_bytes: int, claim: Callable[[int, int], memoryview]
    ) -> None:
        self._waiting = deque((index * chunk_bytes, entry) for index, entry in enumerate(chunks))
        self._chunk_bytes = chunk_bytes
        self._claim = claim
        self._reading: list[Part] = []
        self._left_over: list[Part] = []
        self._connections = 0
        self.most_connections = 0
        self._left_chunks = len(chunks)
        self._lock = threading.Lock()

    @property
    def is_done(self) -> bool:
        """Whether every chunk is complete and verified."""
        return self._left_chunks == 0

    @property
    def has_waiting(self) -> bool:
        """Whether there are chunks nobody reads yet."""
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
        """Something to read, or None, after which the connection must leave: those at work are enough for the
        rest.
        """
        with self._lock:
            if self._waiting:
                offset_bytes, entry = self._waiting.popleft()
            else:
                part = self._left_over.pop() if self._left_over else self._split()
                if part is None:
                    self._connections -= 1
                else:
                    self._reading.append(part)
                return part
        # Outside the lock: memory on its way to a GPU may have to be waited for.
        chunk = ChunkInFlight(entry, offset_bytes, self._claim(offset_bytes, entry.size_bytes))
        part = Part(chunk, 0, entry.size_bytes)
        with self._lock:
            self._reading.append(part)
        return part

    def next_segment(self, part: Part, wanted_bytes: int) -> memoryview:
        """The memory the part's connection fills next; empty at its end.

        As long as `wanted_bytes`, so that the interpreter is seldom needed, but at most half of one
        connection's share of what is left, so that all end together. Source: C. Polychronopoulos, D. Kuck,
        "Guided Self-Scheduling", IEEE Transactions on Computers 36 (1987).
        """
        with self._lock:
            left_bytes = sum(other.stop - other.position for other in self._reading)
            left_bytes += len(self._waiting) * self._chunk_bytes
            share_bytes = left_bytes // (2 * max(self._connections, 1))
            part.reserved = min(part.position + max(SEGMENT_BYTES, min(wanted_bytes, share_bytes)), part.stop)
            return part.chunk.view[part.position : part.reserved]

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
        """Mark the part as done; true if it was the last of its chunk, which can then be verified."""
        with self._lock:
            self._reading.remove(part)
            part.chunk.open_parts -= 1
            return part.chunk.open_parts == 0

    def complete(self) -> None:
        """A chunk has been verified."""
        with self._lock:
            self._left_chunks -= 1

    def reopen(self, chunk: ChunkInFlight) -> Part:
        """Read a whole chunk again."""
        part = Part(chunk, 0, chunk.entry.size_bytes)
        with self._lock:
            chunk.open_parts = 1
            self._reading.append(part)
        return part

    def _split(self) -> Part | None:
        victim = max(self._reading, key=lambda part: part.stop - part.reserved, default=None)
        if victim is None or victim.stop - victim.reserved < 2 * _LEAST_SPLIT_BYTES:
            return None
        middle = (victim.reserved + victim.stop) // 2 // _SPLIT_ALIGNMENT_BYTES * _SPLIT_ALIGNMENT_BYTES
        part = Part(victim.chunk, middle, victim.stop)
        victim.stop = middle
        victim.chunk.open_parts += 1
        return part
