"""One server a folder: a lock that dies with its process. Apart from the server, so that asking is cheap."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

# What a server that finds the folder taken ends with.
EXIT_ALREADY_RUNNING = 10


def lock(state_dir: Path) -> None:
    """Take the folder's lock for this process's life. Raises BlockingIOError where another holds it."""
    descriptor = os.open(state_dir / "daemon.lock", os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # Who asks "is it running" holds a shared lock for an instant; only a server's is exclusive.
            if is_locked(state_dir):
                os.close(descriptor)
                raise
            time.sleep(0.001)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def is_locked(state_dir: Path) -> bool:
    """True while a server process holds the folder."""
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
    """The process id of the server that holds the folder; None while it is only about to write it."""
    text = (state_dir / "daemon.lock").read_text(errors="replace")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
