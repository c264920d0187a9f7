"""The lock of a state folder: one server per folder. A separate module, so that checking it is cheap."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from ..errors import LocalAwsError

# Exit code of a server whose folder is locked by another one.
EXIT_ALREADY_RUNNING = 10


def lock(state_dir: Path) -> None:
    """Lock the folder for the lifetime of this process.

    Raises BlockingIOError if another one has locked it, LocalAwsError if the lock file cannot be opened.
    """
    path = state_dir / "daemon.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LocalAwsError(f"{path} cannot be used as a lock ({error.strerror}); remove it") from error
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # `is_locked` holds a shared lock for an instant; only a server's lock is exclusive.
            if is_locked(state_dir):
                os.close(descriptor)
                raise
            time.sleep(0.001)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def is_locked(state_dir: Path) -> bool:
    """True while a server process has locked the folder."""
    try:
        descriptor = os.open(state_dir / "daemon.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder(state_dir: Path) -> int | None:
    """The process id of the server that has locked the folder; None until it has written it."""
    text = (state_dir / "daemon.lock").read_text(errors="replace")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
