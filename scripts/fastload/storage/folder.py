"""Files under one folder, as objects."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

from fastload.errors import ObjectMissingError, StorageError
from fastload.storage.interface import MOST_SMALL_BYTES, ObjectInfo

_DRAFT_PREFIX = ".fastload-"


class FolderStore:
    """A folder; keys are paths relative to it."""

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self._folder = folder

    def listing(self) -> dict[str, ObjectInfo]:
        found = {}
        try:
            for path in sorted(self._folder.rglob("*")):
                if path.is_file() and not path.name.startswith(_DRAFT_PREFIX):
                    status = path.stat()
                    key = path.relative_to(self._folder).as_posix()
                    found[key] = ObjectInfo(status.st_size, _version(status))
        except OSError as error:
            raise StorageError(f"{error.filename or self._folder}: {error.strerror or error}.") from error
        return found

    def session(self) -> FolderSession:
        return FolderSession(self._folder)

    def content_version(self, key: str, listed: ObjectInfo) -> str:
        try:
            with (self._folder / key).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise StorageError(f"{self._folder / key}: {error.strerror or error}.") from error


class FolderSession:
    """Positioned reads and renamed-into-place writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ""
        self._descriptor = -1
        self._position = 0

    def read(self, key: str, most_bytes: int = MOST_SMALL_BYTES) -> bytes:
        self.open_range(key, 0, 0)
        size_bytes = os.fstat(self._descriptor).st_size
        if size_bytes > most_bytes:
            raise StorageError(
                f"{self._folder / key} has {size_bytes} bytes, {most_bytes} at most are expected of it."
            )
        data = bytearray(size_bytes)
        self.fill(memoryview(data))
        self.close()  # the next read is of the file that is there then
        return bytes(data)

    def open_range(self, key: str, start_bytes: int, length_bytes: int, version: str | None = None) -> int:
        try:
            if key != self._key:
                self.close()
                # Without O_NONBLOCK a named pipe is waited for.
                self._descriptor = os.open(self._folder / key, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._key = key
            status = os.fstat(self._descriptor)
        except OSError as error:
            raise self._failure(key, error) from error
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise StorageError(f"{self._folder / key} is not a file.")
        if version is not None and version != _version(status):
            raise StorageError(f"{self._folder / key} changed while it was being read; start again.")
        self._position = start_bytes
        return status.st_size

    def fill(self, view: memoryview) -> None:
        while len(view):
            try:
                taken = os.preadv(self._descriptor, [view], self._position)
            except OSError as error:
                raise self._failure(self._key, error) from error
            if taken == 0:
                raise StorageError(
                    f"{self._folder / self._key} ends at byte {self._position}; it was cut short."
                )
            self._position += taken
            view = view[taken:]

    def write(self, key: str, data: bytes | memoryview, checksum: int) -> None:
        path = self._folder / key
        draft = path.with_name(f"{_DRAFT_PREFIX}{os.getpid()}-{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            draft.replace(path)
        except OSError as error:
            raise self._failure(key, error) from error

    def stored_checksum(self, key: str, version: str | None = None) -> tuple[str, str] | None:
        return None  # file systems keep none

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._key = -1, ""

    def interrupt(self) -> None:
        """Files need no interruption."""

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def _failure(self, key: str, error: OSError) -> StorageError:
        path = self._folder / key
        if isinstance(error, FileNotFoundError):
            return ObjectMissingError(f"{path} does not exist.")
        return StorageError(f"{path}: {error.strerror or error}.")


def _version(status: os.stat_result) -> str:
    """Not only from times, which may be fixed: in container layers, or copies that preserve them."""
    facts = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
    return "-".join(map(str, facts))
