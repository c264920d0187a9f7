"""Hard links between the files of copies of one model on this computer.

A copy downloads for itself, as a machine of AWS does; afterwards its files become hard links to those of an
earlier copy of the same object. That saves disk, and memory for the page cache. Shared files are read-only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from .state.files import private_folder


class SharedFiles:
    """One folder that holds a name for each distinct object that copies have on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)

    def share(self, files: Iterable[tuple[str, str]], model_folder: Path) -> None:
        """Make a model folder's files links to the shared ones, or them the shared ones.

        Each is (its name in the folder, a text that only files of the same bytes have).
        """
        for name, identity in files:
            path = model_folder / name
            if not path.is_file():
                continue
            shared = self._folder / hashlib.sha256(identity.encode()).hexdigest()
            path.chmod(0o400)
            try:
                os.link(path, shared)
            except FileExistsError:
                self._replace(path, shared)
            except OSError:  # no links on this file system: every copy keeps its own files
                return

    def sweep(self) -> None:
        """Remove files that no copy has any more."""
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_nlink == 1:
                    path.unlink()

    def _replace(self, path: Path, shared: Path) -> None:
        """A link in the place of the file, in one step; nothing where the shared one went away meanwhile."""
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        with contextlib.suppress(FileNotFoundError):
            if shared.stat().st_size != path.stat().st_size:
                return
            os.link(shared, temporary)
            temporary.replace(path)
