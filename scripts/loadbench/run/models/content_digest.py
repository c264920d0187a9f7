"""A digest of a model folder's content, recomputed only when a file changes.

It covers every byte, because two fine-tunes of one model may have the same sizes and headers.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loadbench.errors import RunError
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.results.run_record import write_atomically
from loadbench.run.models.checkpoint import Checkpoint

_HEX_DIGITS = 32
# Pieces are hashed in parallel, so that one large file uses as many cores as many small ones.
_PIECE_BYTES = 64 << 20
_READ_BYTES = 1 << 20
_THREADS = min(8, os.cpu_count() or 1)
# Two writes within one tick of the file system's clock have the same times. Coarse clocks tick every 2 s.
_SETTLED_NS = 2 * 10**9

# Attributes that change with a file's content, as far as the file system shows it; size first.
FileState = list[int]


def content_digest(checkpoint: Checkpoint, cache_dir: Path, on_progress: OnProgress = ignore_progress) -> str:
    """Hex digest over names and bytes of all files.

    A file is not read again while its size, mtime, ctime, inode and device stay the same: reading takes
    seconds for 2.5 GB, and every run needs the digest. Raises RunError if a file changes meanwhile.
    """
    place = hashlib.sha256(str(checkpoint.folder.resolve()).encode()).hexdigest()[:_HEX_DIGITS]
    cache_file = cache_dir / "digests" / f"{place}.json"
    known = _read_cache(cache_file)
    advance = _counter(checkpoint.size_bytes, on_progress)
    entries: dict[str, list[int | str]] = {}
    total = hashlib.sha256()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="digest") as pool:  # hashlib releases the GIL
        for path in checkpoint.files:
            name, began_ns = path.relative_to(checkpoint.folder).as_posix(), time.time_ns()
            state = _state(path)
            before = known.get(name)
            if isinstance(before, list) and before[:-1] == state and isinstance(before[-1], str):
                digest = before[-1]
                advance(state[0])
            else:
                digest = _file_digest(path, state, pool, advance)
            if began_ns - max(state[1:3]) > _SETTLED_NS:
                entries[name] = [*state, digest]
            total.update(f"{name}\0{state[0]}\0{digest}\n".encode("utf-8", "surrogateescape"))
    if entries != known:
        write_atomically(cache_file, json.dumps(entries, indent=1) + "\n")
    return total.hexdigest()[:_HEX_DIGITS]


def file_states(checkpoint: Checkpoint) -> dict[str, FileState]:
    """The state of every file, by its name in the folder."""
    return {path.relative_to(checkpoint.folder).as_posix(): _state(path) for path in checkpoint.files}


def _state(path: Path) -> FileState:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _file_digest(
    path: Path, state: FileState, pool: ThreadPoolExecutor, advance: Callable[[int], None]
) -> str:
    """SHA-256 over the SHA-256 of every piece."""

    def piece_digest(start: int) -> bytes:
        digest, position, end = hashlib.sha256(), start, min(start + _PIECE_BYTES, state[0])
        while position < end:
            block = os.pread(descriptor, min(_READ_BYTES, end - position), position)
            if not block:
                raise _changed(path)
            digest.update(block)
            position += len(block)
            advance(len(block))
        return digest.digest()

    descriptor = os.open(path, os.O_RDONLY)
    try:
        pieces = list(pool.map(piece_digest, range(0, state[0], _PIECE_BYTES)))
    finally:
        os.close(descriptor)
    if _state(path) != state:
        raise _changed(path)
    return hashlib.sha256(b"".join(pieces)).hexdigest()


def _changed(path: Path) -> RunError:
    return RunError(
        f"{path} changed while it was read", remedy="Wait until the model is complete, then run again."
    )


def _read_cache(path: Path) -> dict[str, object]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # no cache yet, or damaged: the files are read again
        return {}
    return document if isinstance(document, dict) else {}


def _counter(total_bytes: int, on_progress: OnProgress) -> Callable[[int], None]:
    lock, done_bytes = threading.Lock(), 0

    def advance(size_bytes: int) -> None:
        nonlocal done_bytes
        with lock:
            done_bytes += size_bytes
            on_progress(Progress("reading the model", done_bytes, total_bytes, "bytes"))

    return advance
