"""S3's checksums: of one body, and of a multipart object.

Source: "Checking object integrity" in the S3 User Guide. Values travel as base64 of the big-endian bytes.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from awscrt import checksums as crt  # type: ignore[import-untyped]

HEADER_PREFIX = "x-amz-checksum-"
_BLOCK_BYTES = 1 << 20
Data = bytes | memoryview
_CRC_BYTES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8}
_COMBINE = {"crc32": crt.combine_crc32, "crc32c": crt.combine_crc32c, "crc64nvme": crt.combine_crc64nvme}
ALGORITHMS: tuple[str, ...] = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
HEADERS = frozenset(HEADER_PREFIX + name for name in ALGORITHMS)


class Hash(Protocol):
    """The part of hashlib's interface that is used here."""

    def update(self, data: Data, /) -> None:
        """Add bytes."""

    def digest(self) -> bytes:
        """The value of all bytes so far."""


class _Crc:
    def __init__(self, function: Callable[[Data, int], int], size_bytes: int) -> None:
        self._function = function
        self._size_bytes = size_bytes
        self._value = 0

    def update(self, data: Data, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size_bytes, "big")


def of_files(algorithm: str, files: Sequence[tuple[Path, int, int]]) -> str:
    """The checksum of consecutive pieces (path, offset, bytes) of files."""
    checksum = new(algorithm)
    for path, offset, size_bytes in files:
        with path.open("rb") as file:
            file.seek(offset)
            while size_bytes:
                data = file.read(min(size_bytes, _BLOCK_BYTES))
                if not data:
                    raise OSError(f"{path} is shorter than its record")
                checksum.update(data)
                size_bytes -= len(data)
    return encoded(checksum.digest())


def new(algorithm: str) -> Hash:
    """A running checksum. Raises KeyError for an unknown algorithm."""
    constructors: dict[str, Callable[[], Hash]] = {
        "crc32": lambda: _Crc(zlib.crc32, 4),
        "crc32c": lambda: _Crc(crt.crc32c, 4),
        "crc64nvme": lambda: _Crc(crt.crc64nvme, 8),
        "sha1": lambda: hashlib.sha1(usedforsecurity=False),
        "sha256": hashlib.sha256,
        "md5": lambda: hashlib.md5(usedforsecurity=False),
    }
    return constructors[algorithm]()


def encoded(digest: bytes) -> str:
    """A digest in the format of headers."""
    return base64.b64encode(digest).decode()


def composite(algorithm: str, parts: Sequence[str]) -> str:
    """The checksum of the parts' checksums, with their number."""
    checksum = new(algorithm)
    for part in parts:
        checksum.update(base64.b64decode(part))
    return f"{encoded(checksum.digest())}-{len(parts)}"


def full_object(algorithm: str, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of all bytes, from (checksum, size in bytes) of each part. CRCs only."""
    value = 0
    for checksum, size_bytes in parts:
        value = _COMBINE[algorithm](value, int.from_bytes(base64.b64decode(checksum), "big"), size_bytes)
    return encoded(value.to_bytes(_CRC_BYTES[algorithm], "big"))


def is_crc(algorithm: str) -> bool:
    """Whether parts' checksums can be combined into the whole object's."""
    return algorithm in _CRC_BYTES
