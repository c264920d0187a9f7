"""Every error that fastload raises, under one base class.

A message says what happened, to which object, and what to do next.
"""

from __future__ import annotations


class FastloadError(Exception):
    """Base of everything fastload raises on purpose."""


class ManifestError(FastloadError):
    """The manifest is missing, damaged, or of another format version."""


class CheckpointError(FastloadError):
    """The source is not a safetensors checkpoint this program can read."""

    def __init__(self, fault: str, remedy: str = "") -> None:
        super().__init__(f"{fault}. {remedy}." if remedy else fault)
        self.fault = fault
        self.remedy = remedy


class PartitionError(FastloadError):
    """The model cannot be partitioned for the tensor-parallel degree."""


class ShardError(FastloadError):
    """Sharding cannot start or continue in this destination."""


class ChunkError(FastloadError):
    """A chunk is missing, has the wrong length, or is corrupt in every attempt."""


class StreamError(FastloadError):
    """The stream was closed early, or the rank or device is not supported."""


class DoesNotFitError(StreamError):
    """The weights do not fit into this machine's memory."""


class StorageError(FastloadError):
    """An object store refused a request, or could not be reached."""


class ObjectMissingError(StorageError):
    """The object does not exist."""


class TransientError(StorageError):
    """A request failed with a transient error: reset, stall, truncation, 5xx.

    `throttled` is true if the store throttles (503 SlowDown, 429); `retry_after_s` is its requested pause.
    """

    def __init__(self, message: str, *, throttled: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.throttled = throttled
        self.retry_after_s = retry_after_s


def shown(text: str, most_characters: int = 300) -> str:
    """Untrusted text for a message: one line, of limited length, without control
    characters.
    """
    cut = text[:most_characters]
    clean = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in cut)
    return clean if cut == text else f"{clean}…"
