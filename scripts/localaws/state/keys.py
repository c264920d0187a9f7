"""Key pairs: the user's, and one for every instance and job to identify its traffic."""

from __future__ import annotations

import json
import secrets
import string
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import LocalAwsError
from .files import write_private

_ID_ALPHABET = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Credentials:
    """Credentials of a client."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class Key:
    """A key pair and whose it is. `instance_type` is None for the user: that traffic is never shaped."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    label: str
    instance_type: str | None


class KeyFileError(LocalAwsError):
    """The file of the key pairs is damaged."""


def read_keys(path: Path) -> list[Key]:
    """The key pairs in a file. Raises KeyFileError if it is damaged."""
    try:
        keys = [Key(**item) for item in json.loads(path.read_bytes())]
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path) from error
    if not all(isinstance(text, str) for key in keys for text in (key.access_key_id, key.secret_access_key)):
        raise _damaged(path)
    return keys


def _damaged(path: Path) -> KeyFileError:
    return KeyFileError(
        f"{path} is damaged: its key pairs cannot be read. Stop the embedded AWS, remove the file and start "
        "again: it makes a new key pair and keeps everything else"
    )


class KeyRing:
    """All valid key pairs, kept in one 0600 file. The first is the user's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}
        if path.exists():
            self._keys = {key.access_key_id: key for key in read_keys(path)}
        if not any(key.label == "user" for key in self._keys.values()):
            self.issue("user", None)

    @property
    def user(self) -> Credentials:
        """The user's key pair."""
        key = next(key for key in self._keys.values() if key.label == "user")
        return Credentials(key.access_key_id, key.secret_access_key)

    def get(self, access_key_id: str) -> Key | None:
        """The key pair with that id, or None."""
        return self._keys.get(access_key_id)

    def issue(self, label: str, instance_type: str | None) -> Credentials:
        """Create a key pair; `label` names its owner (an instance id, a job's name)."""
        key = Key(
            "AKIA" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(16)),
            secrets.token_urlsafe(30),
            label,
            instance_type,
        )
        with self._lock:
            self._keys = {**self._keys, key.access_key_id: key}
            self._write()
        return Credentials(key.access_key_id, key.secret_access_key)

    def revoke(self, access_key_id: str) -> None:
        """Make a key pair invalid; nothing happens where it is unknown."""
        with self._lock:
            self._keys = {name: key for name, key in self._keys.items() if name != access_key_id}
            self._write()

    def _write(self) -> None:
        write_private(self._path, json.dumps([asdict(key) for key in self._keys.values()]).encode())
