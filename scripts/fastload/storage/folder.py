"""Files under one folder, as objects."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fastload.errors import ObjectMissingError, StorageError
from fastload.storage.store import ObjectInfo

_DRAFT_PREFIX = ".fastload-"


class FolderStore:
    """A folder; keys are paths relative to it."""

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self._folder = folder

    def listing(self) -> dict[str, ObjectInfo]:
        found = {}
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and not path.name.startswith(_DRAFT_PREFIX):
                status = path.stat()
                found[path.relative_to(self._folder).as_posix()] = ObjectInfo(
                    status.st_size, _version(status)
                )
        return found

    def session(self) -> FolderSession:
        return FolderSession(self._folder)

    def content_version(self, key: str, listed: ObjectInfo) -> str:
        with (self._folder / key).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class FolderSession:
    """Positioned reads and renamed-into-place writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ""
        self._descriptor = -1
        self._position = 0

    def read(self, key: str) -> bytes:
        try:
            return (self._folder / key).read_bytes()
        except OSError as error:
            raise self._failure(key, error) from error

    def open_range(self, key: str, start_bytes: int, length_bytes: int, version: str | None = None) -> int:
        try:
            if key != self._key:
                self.close()
                self._descriptor = os.open(self._folder / key, os.O_RDONLY)
                self._key = key
            status = os.fstat(self._descriptor)
        except OSError as error:
            raise self._failure(key, error) from error
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

    def _failure(self, key: str, error: OSError) -> StorageError:
        path = self._folder / key
        if isinstance(error, FileNotFoundError):
            return ObjectMissingError(f"{path} does not exist.")
        return StorageError(f"{path}: {error.strerror}.")


def _version(status: os.stat_result) -> str:
    """Times alone may be fixed: those of container layers, or copies that keep them."""
    facts = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
    return "-".join(map(str, facts))
