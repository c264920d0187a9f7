"""Files that only their owner can read, written atomically."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from ..errors import LocalAwsError

# Temporary files of `write_private`, left if its process dies.
_TEMPORARY = re.compile(r"\..+\.\d+")


class StateFolderError(LocalAwsError):
    """A state folder that must not be used; the text says why, and what to do."""


def private_folder(path: Path) -> Path:
    """Create the folder if needed, readable by its owner only."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def state_folder(path: Path) -> Path:
    """A folder that holds an embedded AWS, made if needed.

    Raises StateFolderError if another user owns it, or could have written to it, because its content is
    trusted. A folder that others could only read is made private.
    """
    try:
        private_folder(path)
        found = path.stat()
    except OSError as error:
        raise StateFolderError(f"the state folder {path} cannot be used: {error.strerror}") from error
    if found.st_uid != os.geteuid():
        raise StateFolderError(
            f"the state folder {path} belongs to another user (uid {found.st_uid}); choose your own"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and any(path.iterdir()):
        raise StateFolderError(
            f"others may write to the state folder {path}, so its content may not be yours; if you "
            f"trust it, make it private with `chmod 700 {path}`, otherwise remove it"
        )
    foreign = [entry.name for entry in path.iterdir() if entry.lstat().st_uid != os.geteuid()]
    if foreign:
        raise StateFolderError(
            f"{foreign[0]} in the state folder {path} belongs to another user; remove it, or choose "
            "another folder"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        path.chmod(0o700)
    return path


def sweep_temporary(folder: Path) -> None:
    """Remove temporary files of a killed server."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()


def write_private(path: Path, content: bytes) -> None:
    """Replace a file atomically, with mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
