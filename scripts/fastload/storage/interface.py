"""The interface of a store: lists objects under a prefix or folder, reads ranges, writes atomically.

Keys are relative to the location. A session belongs to one thread; each has its own connection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from fastload.storage.retry import Backoff

# Larger than any manifest, index or configuration; larger objects are refused before they are read.
MOST_SMALL_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing; `version` changes whenever the content does, as far as a listing can tell."""

    size_bytes: int
    version: str


class Session(Protocol):
    """One thread's way to the objects. Raises ObjectMissingError and StorageError, which are final, and where
    it says so TransientError, which is not.
    """

    def read(self, key: str, most_bytes: int = MOST_SMALL_BYTES) -> bytes:
        """The whole of a small object. Raises StorageError for one of more than `most_bytes`, unread."""
        ...

    def open_range(self, key: str, start_bytes: int, length_bytes: int, version: str | None = None) -> int:
        """Ask for a range; `fill` then delivers it. Returns the whole object's size. Raises TransientError.

        With `version`, refuse an object that has changed since it was listed. A range that is not read to its
        end costs the connection.
        """
        ...

    def fill(self, view: memoryview) -> None:
        """The range's next len(view) bytes. Raises TransientError, after which the range must be requested
        again.
        """
        ...

    def write(self, key: str, data: bytes | memoryview, checksum: int) -> None:
        """Write an object whole (`checksum`: its CRC32C): afterwards it is there with all its bytes, or not
        at all.
        """
        ...

    def stored_checksum(self, key: str, version: str | None = None) -> tuple[str, str] | None:
        """The checksum of a whole object that the store keeps, as (algorithm, value in base64); None where it
        keeps none. Algorithms are `crc32`, `crc32c`, `crc64nvme` and `sha256`.
        """
        ...

    def close(self) -> None:
        """Close the connection. The session may be used again, with a new one."""
        ...

    def interrupt(self) -> None:
        """From another thread: end the session's wait, and let it start nothing more."""
        ...

    def pause(self, seconds: float) -> object:
        """Wait before another attempt, or until the session is interrupted."""
        ...


class Store(Protocol):
    """A location."""

    location: str

    def listing(self) -> dict[str, ObjectInfo]:
        """Every object below the location."""
        ...

    def session(self) -> Session:
        """A new session."""
        ...

    def content_version(self, key: str, listed: ObjectInfo) -> str:
        """A fingerprint of the content."""
        ...


def read_range(
    session: Session, key: str, start_bytes: int, view: memoryview, version: str | None = None
) -> None:
    """Fill `view` from `start_bytes` of an object on, with retries."""

    def attempt() -> None:
        session.open_range(key, start_bytes, len(view), version)
        session.fill(view)

    if len(view):
        Backoff(session.pause).attempt(attempt)


@contextmanager
def interruptible_sessions() -> Iterator[Callable[[Store], Session]]:
    """Creates sessions, also in other threads; if the block ends with an exception, all of them are
    interrupted.
    """
    made: list[Session] = []
    stopped = threading.Event()

    def make(store: Store) -> Session:
        session = store.session()
        made.append(session)
        if stopped.is_set():
            session.interrupt()
        return session

    try:
        yield make
    except BaseException:
        stopped.set()
        for session in list(made):
            session.interrupt()
        raise
