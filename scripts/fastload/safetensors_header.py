"""The header of a safetensors file, read as strictly as the format's own library reads it.

Source: https://github.com/huggingface/safetensors#format and what safetensors 0.8 refuses: 8 bytes of
little-endian length, that many bytes of JSON, then the tensors' bytes, without holes and to the file's end.
Two things that safetensors accepts are refused here, because readers treat them differently: members that the
format does not define, and duplicate names. Needs neither torch nor a connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from fastload.dtypes import DTYPE_BITS, tensor_bytes
from fastload.errors import CheckpointError
from fastload.json_text import parse_strict_json

LENGTH_BYTES = 8
MOST_HEADER_BYTES = 100_000_000  # safetensors' own limit
_MOST_COUNT = 2**63 - 1  # what torch takes for a dimension
_GIT_LFS_START = b"version https://git-lfs"
_FETCH_AGAIN = "Download the file again"


@dataclass(frozen=True, slots=True)
class HeaderTensor:
    """One tensor; its bytes are `start_bytes` to `stop_bytes` of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start_bytes: int
    stop_bytes: int

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.stop_bytes - self.start_bytes


def read_header(path: Path, *, whole: bool = True) -> tuple[HeaderTensor, ...]:
    """The tensors of a file on this disk, in the order of their bytes; all must be there where it is `whole`.

    Raises CheckpointError.
    """
    try:
        if not path.is_file():  # opening a named pipe would wait for a writer
            raise CheckpointError(f"{path} is not a file", _FETCH_AGAIN)
        with path.open("rb") as file:
            file_bytes = path.stat().st_size
            start = file.read(max(LENGTH_BYTES, len(_GIT_LFS_START)))
            length = header_length(start, file_bytes, str(path))
            file.seek(LENGTH_BYTES)
            return parse_header(file.read(length), file_bytes if whole else None, str(path))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "Check the file") from error


def header_length(start: bytes, file_bytes: int, origin: str) -> int:
    """Bytes of the JSON behind the length, from a file's first bytes (24 tell a Git LFS pointer).

    `origin` names the file in errors. Raises CheckpointError.
    """
    if start.startswith(_GIT_LFS_START):
        raise CheckpointError(
            f"{origin} is a Git LFS pointer, not weights", "Run `git lfs pull` where it was cloned"
        )
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if len(start) < LENGTH_BYTES or length < 2:
        raise _refusal(origin, f"it has {file_bytes} bytes and has no header")
    if length > MOST_HEADER_BYTES:
        raise _refusal(origin, f"a header of {length} bytes, {MOST_HEADER_BYTES} at most are allowed")
    if LENGTH_BYTES + length > file_bytes:
        raise _refusal(
            origin, f"it was cut short: {file_bytes} bytes, its header alone ends at {LENGTH_BYTES + length}"
        )
    return length


def parse_header(header: bytes, file_bytes: int | None, origin: str) -> tuple[HeaderTensor, ...]:
    """The tensors that a header describes, in the order of their bytes, which fill a file of `file_bytes`.

    With None the file may end anywhere. Raises CheckpointError; `origin` names the file in it.
    """
    try:
        members = parse_strict_json(header)
        if not isinstance(members, dict):
            raise ValueError("the header is not an object")
        _check_metadata(members.pop("__metadata__", None))
        data_start_bytes = LENGTH_BYTES + len(header)
        tensors = sorted(
            (_tensor(name, entry, data_start_bytes) for name, entry in members.items()),
            key=lambda tensor: (tensor.start_bytes, tensor.stop_bytes),
        )
        end_bytes = _check_ranges(tensors, data_start_bytes)
        if file_bytes is not None and end_bytes > file_bytes:
            raise ValueError(f"it was cut short: {file_bytes} bytes, its tensors end at {end_bytes}")
        if file_bytes is not None and end_bytes < file_bytes:
            raise ValueError(f"{file_bytes - end_bytes} bytes follow the last tensor")
    except ValueError as error:
        raise _refusal(origin, str(error)) from error
    return tuple(tensors)


def _tensor(name: str, entry: Any, data_start_bytes: int) -> HeaderTensor:
    label = printable(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{label} is not described by dtype, shape and data_offsets alone")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise ValueError(f"{label} has the unknown dtype {str(dtype)[:40]!r}")
    if not _are_counts(shape):
        raise ValueError(f"the shape of {label} is not a list of counts")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"data_offsets of {label} is not a pair of counts")
    # Multiplied from left to right, as torch and safetensors do: a zero behind an overflow does not help.
    elements = 1
    for length in shape:
        elements *= length
        if elements * DTYPE_BITS[dtype] > _MOST_COUNT:
            raise ValueError(f"{label} has more elements than can be counted")
    if elements * DTYPE_BITS[dtype] % 8:
        raise ValueError(f"{label} does not fill whole bytes")
    start, stop = offsets
    if stop - start != tensor_bytes(dtype, tuple(shape)):
        raise ValueError(f"shape and byte range of {label} disagree")
    return HeaderTensor(name, dtype, tuple(shape), data_start_bytes + start, data_start_bytes + stop)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value <= _MOST_COUNT for value in values)


def _check_ranges(tensors: Iterable[HeaderTensor], end_bytes: int) -> int:
    """Every byte behind the header belongs to one tensor; returns where the last one ends."""
    for tensor in tensors:
        if tensor.start_bytes != end_bytes:
            what = "overlaps another tensor" if tensor.start_bytes < end_bytes else "begins after a gap"
            raise ValueError(f"{printable(tensor.name)} {what}")
        end_bytes = tensor.stop_bytes
    return end_bytes


def _check_metadata(metadata: Any) -> None:
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    ):
        raise ValueError("__metadata__ does not map text to text")


def printable(name: str) -> str:
    """A tensor's name as a message shows it. Raises ValueError for one that is no text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError("a tensor's name holds half a character") from None
    return name if name.isprintable() and len(name) <= 200 else repr(name[:200])


def _refusal(origin: str, reason: str) -> CheckpointError:
    return CheckpointError(f"{origin} is not a safetensors file: {reason}", _FETCH_AGAIN)
