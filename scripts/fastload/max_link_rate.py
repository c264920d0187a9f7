"""The maximum rate of the link: reads a rank's chunks into pre-faulted memory, without checksums.

This is not a loader: it does not allocate memory while it measures and does not verify the bytes, so it is an
upper bound for a load from the same place over the same number of connections.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from fastload.manifest import read_manifest
from fastload.memory import allocate
from fastload.storage.store import Store, interruptible_sessions, open_store, read_range


def ceiling_bytes_per_s(location: str, *, rank: int = 0, connections: int) -> float:
    """Read one rank's chunks over `connections` and return the rate in bytes per second.

    Holds the rank's bytes once. Raises ManifestError, StorageError.
    """
    entry = read_manifest(location).rank(rank)
    view = allocate(max(entry.size_bytes, 1))
    for start in range(0, len(view), mmap.PAGESIZE):
        view[start] = 0
    ranges, start = [], 0
    for chunk in entry.chunks:
        ranges.append((chunk.key, view[start : start + chunk.size_bytes]))
        start += chunk.size_bytes
    began_s = time.perf_counter()
    _read_all(open_store(location), ranges, connections)
    return entry.size_bytes / max(time.perf_counter() - began_s, 1e-9)


def _read_all(store: Store, ranges: Sequence[tuple[str, memoryview]], connections: int) -> None:
    waiting: SimpleQueue[tuple[str, memoryview]] = SimpleQueue()
    for item in ranges:
        waiting.put(item)

    def work(_: int) -> None:
        session = new_session(store)
        try:
            while True:
                key, view = waiting.get_nowait()
                read_range(session, key, 0, view)
        except Empty:
            return
        finally:
            session.close()

    with ThreadPoolExecutor(connections) as pool, interruptible_sessions() as new_session:
        list(pool.map(work, range(connections)))
