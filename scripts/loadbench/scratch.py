"""Temporary folders and files, and the removal of those that a killed process left behind.

A folder is locked while its process lives, even in another container; if the lock is free, the process has
ended.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadbench.file_lock import is_locked, locked

_PREFIX = ".loadbench-scratch-"
# Partial models (run/models/resolve.py): an interrupted download can be resumed for a day.
_PARTIAL = ".*.partial"
_PARTIAL_KEPT_S = 24 * 3600
# Partial files: results/run_record.py writes a temporary file and renames it within a moment.
_HALF_FILE = re.compile(r"\..+\.(?P<pid>[0-9]+)\.tmp")
_HALF_FILE_KEPT_S = 60


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that is removed when the block ends, or by the next command if the process was killed."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as folder, locked(Path(folder)):
        yield Path(folder)


def sweep(private_dir: Path, results_dir: Path, cache: Path) -> tuple[int, int]:
    """Remove what killed processes left; returns the number of folders and files, and their total bytes."""
    folders = list(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))
    for depth in ("", "*/", "*/*/"):
        folders += [found for place in (private_dir, cache) for found in place.glob(f"{depth}{_PREFIX}*")]
    left = [folder for folder in folders if _is_abandoned(folder, folder)]
    left += [folder for folder in (cache / "models").glob(_PARTIAL) if _is_old_partial(folder)]
    left += [file for file in results_dir.glob("*/.*.tmp") if _is_half_file(file)]
    return len(left), sum(_remove(path) for path in left)


def _is_abandoned(path: Path, lock: Path) -> bool:
    """Whether no process holds the lock, and the path belongs to this user."""
    try:
        if path.lstat().st_uid != os.geteuid() or path.is_symlink():
            return False
        return not is_locked(lock)
    except OSError:
        return False


def _is_old_partial(folder: Path) -> bool:
    lock = folder.with_name(f"{folder.name.removesuffix('.partial')}.lock")
    return _age_s(folder) > _PARTIAL_KEPT_S and _is_abandoned(folder, lock)


def _is_half_file(file: Path) -> bool:
    found = _HALF_FILE.fullmatch(file.name)
    if found is None or _age_s(file) <= _HALF_FILE_KEPT_S:
        return False
    return not Path(f"/proc/{found['pid']}").exists()


def _age_s(path: Path) -> float:
    try:
        newest_s = max(item.lstat().st_mtime for item in (path, *path.rglob("*")))
    except OSError:  # it was removed or changed meanwhile
        return 0.0
    return time.time() - newest_s


def _remove(path: Path) -> int:
    """Remove a file or folder; returns its bytes."""
    try:
        size_bytes = sum(item.lstat().st_size for item in (path, *path.rglob("*")) if not item.is_dir())
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return 0  # another process was quicker, or it may not be removed
    return size_bytes
