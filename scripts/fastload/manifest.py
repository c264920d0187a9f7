"""The manifest: the stored chunks, the position of each tensor, and the checksum of every chunk.

The format is specified in docs/shard-format.md. Reading is strict: an unknown or missing member, a wrong
type, inconsistent numbers, or a changed byte is refused with a message.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastload.dtypes import TORCH_NAMES, tensor_bytes
from fastload.errors import ManifestError, ObjectMissingError, shown
from fastload.json_text import parse_strict_json
from fastload.storage.store import Session, Store, open_store
from fastload.tensor_partition import DEGREES

FORMAT_NAME = "fastload-shards"
FORMAT_VERSION = 1
MANIFEST_KEY = "manifest.json"
# cudaMalloc aligns to 256 bytes; a tensor that starts there can be used by any kernel without a copy.
ALIGNMENT_BYTES = 256

# A reader's limits, checked before it allocates anything.
MOST_MANIFEST_BYTES = 64 << 20
MOST_CHUNK_BYTES = 64 << 20
_MOST_COUNT = 2**63 - 1
_KEY = re.compile(r"[A-Za-z0-9._/-]{1,900}")

_T = TypeVar("_T")
_SEAL = re.compile(rb',"manifest_sha256":"([0-9a-f]{64})"\}\n\Z')


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of one rank; `offset_bytes` counts from the start of the rank's buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset_bytes: int

    @property
    def size_bytes(self) -> int:
        return tensor_bytes(self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """One object; `key` is relative to the folder of the manifest."""

    key: str
    size_bytes: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class RankEntry:
    """Everything one tensor-parallel rank loads. Chunk i holds the buffer's bytes from i * chunk_bytes on."""

    rank: int
    size_bytes: int
    tensors: tuple[TensorEntry, ...]
    chunks: tuple[ChunkEntry, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A sharded checkpoint. `aliases` maps a tied name to the stored tensor it shares memory with."""

    source_digest: str
    dtype: str
    tensor_parallel_degree: int
    chunk_bytes: int
    ranks: tuple[RankEntry, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of all ranks together."""
        return sum(rank.size_bytes for rank in self.ranks)

    def rank(self, rank: int) -> RankEntry:
        """The entry of one rank. Raises ManifestError when the checkpoint was cut for fewer."""
        if not 0 <= rank < self.tensor_parallel_degree:
            raise ManifestError(
                f"rank {rank} was asked for, but these shards were cut for tensor-parallel degree "
                f"{self.tensor_parallel_degree} (ranks 0 to {self.tensor_parallel_degree - 1}); "
                "load with that degree or shard again."
            )
        return self.ranks[rank]


def dump_manifest(manifest: Manifest) -> bytes:
    """The manifest's bytes, sealed: the last member is the SHA-256 of every byte before it."""
    document = {
        "format": FORMAT_NAME,
        "version": FORMAT_VERSION,
        "source_digest": manifest.source_digest,
        "dtype": manifest.dtype,
        "tensor_parallel_degree": manifest.tensor_parallel_degree,
        "chunk_bytes": manifest.chunk_bytes,
        "alignment_bytes": ALIGNMENT_BYTES,
        "aliases": dict(sorted(manifest.aliases.items())),
        "ranks": [
            {
                "rank": rank.rank,
                "size_bytes": rank.size_bytes,
                "tensors": [
                    {"name": t.name, "dtype": t.dtype, "shape": t.shape, "offset_bytes": t.offset_bytes}
                    for t in rank.tensors
                ],
                "chunks": [
                    {"key": c.key, "size_bytes": c.size_bytes, "crc32c": f"{c.crc32c:08x}"}
                    for c in rank.chunks
                ],
            }
            for rank in manifest.ranks
        ],
    }
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()[:-1]
    data = body + b',"manifest_sha256":"%s"}\n' % hashlib.sha256(body).hexdigest().encode()
    if len(data) > MOST_MANIFEST_BYTES:
        raise ManifestError(
            f"the manifest has {len(data)} bytes, more than {MOST_MANIFEST_BYTES}; use larger chunks."
        )
    return data


def read_manifest(location: str) -> Manifest:
    """Read and check the manifest under a location. Raises ManifestError, StorageError."""
    store = open_store(location)
    return load_manifest(store, store.session())


def load_manifest(store: Store, session: Session) -> Manifest:
    """The same over a session, which is closed afterwards and may be interrupted meanwhile."""
    try:
        data = session.read(MANIFEST_KEY, MOST_MANIFEST_BYTES)
        return parse_manifest(data, f"{shown(store.location)}/{MANIFEST_KEY}")
    except ObjectMissingError as error:
        raise ManifestError(
            f"{store.location} holds no {MANIFEST_KEY}: sharding has not finished, or it is another folder."
        ) from error
    finally:
        session.close()


def parse_manifest(data: bytes, origin: str) -> Manifest:
    """Check and read a manifest's bytes; `origin` names it in errors. Raises ManifestError."""
    try:
        document = parse_strict_json(data)
    except ValueError as error:
        raise ManifestError(
            f"{origin} is not JSON ({shown(str(error))}); it is damaged or not a manifest: shard again."
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT_NAME:
        raise ManifestError(
            f"{origin} is not a {FORMAT_NAME} manifest; point at a folder that `fastload shard` wrote."
        )
    version = document.get("version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise ManifestError(
            f"{origin} has format version {shown(repr(version))}; "
            f"this fastload reads version {FORMAT_VERSION}. Shard again, or use the fastload that wrote it."
        )
    seal = _SEAL.search(data)
    if seal is None or hashlib.sha256(data[: seal.start()]).hexdigest().encode() != seal.group(1):
        raise ManifestError(
            f"{origin} does not match its own SHA-256: it was changed or damaged; shard again."
        )
    if json.dumps(document, separators=(",", ":")).encode() + b"\n" != data:
        raise ManifestError(f"{origin} does not follow the format; shard again.")
    reader = _Reader(origin)
    manifest = reader.manifest(document)
    reader.check(manifest)
    return manifest


class _Reader:
    """Converts a decoded document to a Manifest, strictly by the format."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def manifest(self, document: dict[str, Any]) -> Manifest:
        fields = (
            "format version source_digest dtype tensor_parallel_degree chunk_bytes alignment_bytes "
            "aliases ranks manifest_sha256"
        )
        get = self._members(document, "manifest", fields)
        aliases = self._is(get["aliases"], dict, "aliases")
        if not re.fullmatch(r"[0-9a-f]{64}", self._text(get["source_digest"], "source_digest")):
            raise self._refusal("source_digest is not 64 hexadecimal digits")
        if self._text(get["dtype"], "dtype") not in TORCH_NAMES:
            raise self._refusal(f"it has the unknown dtype {shown(get['dtype'])!r}")
        if self._count(get["alignment_bytes"], "alignment_bytes") != ALIGNMENT_BYTES:
            raise self._refusal(f"alignment_bytes is not {ALIGNMENT_BYTES}")
        return Manifest(
            source_digest=self._text(get["source_digest"], "source_digest"),
            dtype=self._text(get["dtype"], "dtype"),
            tensor_parallel_degree=self._count(get["tensor_parallel_degree"], "tensor_parallel_degree"),
            chunk_bytes=self._count(get["chunk_bytes"], "chunk_bytes"),
            aliases={self._text(name, "alias"): self._text(aliases[name], "an alias") for name in aliases},
            ranks=tuple(self._rank(item) for item in self._is(get["ranks"], list, "ranks")),
        )

    def _rank(self, item: Any) -> RankEntry:
        get = self._members(item, "rank", "rank size_bytes tensors chunks")
        return RankEntry(
            rank=self._count(get["rank"], "rank"),
            size_bytes=self._count(get["size_bytes"], "size_bytes"),
            tensors=tuple(self._tensor(entry) for entry in self._is(get["tensors"], list, "tensors")),
            chunks=tuple(self._chunk(entry) for entry in self._is(get["chunks"], list, "chunks")),
        )

    def _tensor(self, item: Any) -> TensorEntry:
        get = self._members(item, "tensor", "name dtype shape offset_bytes")
        name = self._text(get["name"], "tensor name")
        label = shown(name)
        dtype = self._text(get["dtype"], f"dtype of {label}")
        if dtype not in TORCH_NAMES:
            raise self._refusal(f"tensor {label} has the unknown dtype {shown(dtype)!r}")
        shape = tuple(
            self._count(length, f"shape of {label}") for length in self._is(get["shape"], list, "shape")
        )
        size_bytes = 1
        for length in shape:  # from left to right as torch does: a zero after an overflow does not help
            size_bytes *= length
            if size_bytes > _MOST_COUNT // 64:
                raise self._refusal(f"tensor {label} has more elements than can be counted")
        if dtype == "F4" and (not shape or shape[-1] % 2):
            raise self._refusal(f"tensor {label} is F4 with rows of no whole bytes")
        return TensorEntry(name, dtype, shape, self._count(get["offset_bytes"], f"offset of {label}"))

    def _chunk(self, item: Any) -> ChunkEntry:
        get = self._members(item, "chunk", "key size_bytes crc32c")
        key = self._text(get["key"], "chunk key")
        label = shown(key)
        if key.startswith("/") or not all(part not in ("", ".", "..") for part in key.split("/")):
            raise self._refusal(f"chunk key {label!r} leaves the manifest's folder")
        if not _KEY.fullmatch(key):
            raise self._refusal(
                f"chunk key {label!r} is longer or has other characters than keys of this format"
            )
        checksum = self._text(get["crc32c"], f"crc32c of {label}")
        if not re.fullmatch(r"[0-9a-f]{8}", checksum):
            raise self._refusal(f"crc32c of {label} is not eight hexadecimal digits")
        return ChunkEntry(key, self._count(get["size_bytes"], f"size of {label}"), int(checksum, 16))

    def check(self, manifest: Manifest) -> None:
        """Refuse numbers that contradict each other."""
        if manifest.chunk_bytes == 0:
            raise self._refusal("chunk_bytes is zero")
        if manifest.chunk_bytes > MOST_CHUNK_BYTES:
            raise self._refusal(f"chunk_bytes is more than {MOST_CHUNK_BYTES}")
        if manifest.tensor_parallel_degree not in DEGREES:
            raise self._refusal(
                f"its tensor-parallel degree {manifest.tensor_parallel_degree} is not one of "
                f"{', '.join(map(str, DEGREES))}"
            )
        if [rank.rank for rank in manifest.ranks] != list(range(manifest.tensor_parallel_degree)):
            raise self._refusal(
                f"it does not list the ranks 0 to {manifest.tensor_parallel_degree - 1} in order"
            )
        for rank in manifest.ranks:
            self._check_chunks(rank, manifest.chunk_bytes)
            self._check_tensors(rank, manifest.aliases)
            self._check_layout(rank, manifest.ranks[0])

    def _check_chunks(self, rank: RankEntry, chunk_bytes: int) -> None:
        whole, rest = divmod(rank.size_bytes, chunk_bytes)
        # Counted before a list of that length is made.
        if len(rank.chunks) != whole + bool(rest) or any(
            chunk.size_bytes != (chunk_bytes if index < whole else rest)
            for index, chunk in enumerate(rank.chunks)
        ):
            raise self._refusal(
                f"the chunks of rank {rank.rank} do not add up to its {rank.size_bytes} bytes"
            )
        if len({chunk.key for chunk in rank.chunks}) != len(rank.chunks):
            raise self._refusal(f"rank {rank.rank} lists a chunk twice")

    def _check_layout(self, rank: RankEntry, first: RankEntry) -> None:
        """All ranks share rank 0's layout, which leaves no more room than alignment needs."""
        if rank.size_bytes != first.size_bytes or [
            (tensor.name, tensor.dtype, tensor.offset_bytes) for tensor in rank.tensors
        ] != [(tensor.name, tensor.dtype, tensor.offset_bytes) for tensor in first.tensors]:
            raise self._refusal(f"rank {rank.rank} has another layout than rank 0")
        end_bytes = 0
        for tensor, widest in zip(rank.tensors, first.tensors, strict=True):
            label = f"tensor {shown(tensor.name)} of rank {rank.rank}"
            if tensor.size_bytes > widest.size_bytes:
                raise self._refusal(f"{label} is larger than rank 0's")
            if tensor.offset_bytes != -(-end_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES:
                raise self._refusal(f"{label} begins after a gap")
            end_bytes = tensor.offset_bytes + widest.size_bytes
        if end_bytes != rank.size_bytes:
            raise self._refusal(f"{rank.size_bytes - end_bytes} bytes follow the last tensor")

    def _check_tensors(self, rank: RankEntry, aliases: Mapping[str, str]) -> None:
        end_bytes = 0
        names = {tensor.name for tensor in rank.tensors}
        if len(names) != len(rank.tensors):
            raise self._refusal(f"rank {rank.rank} lists a tensor twice")
        for tensor in rank.tensors:
            label = f"tensor {shown(tensor.name)} of rank {rank.rank}"
            if tensor.offset_bytes < end_bytes or tensor.offset_bytes % ALIGNMENT_BYTES:
                raise self._refusal(f"{label} overlaps another or is not aligned")
            end_bytes = tensor.offset_bytes + tensor.size_bytes
            if end_bytes > rank.size_bytes:
                raise self._refusal(f"{label} ends beyond the rank's bytes")
        for alias, target in aliases.items():
            if alias in names or target not in names:
                raise self._refusal(f"alias {shown(alias)} does not name a second name of a stored tensor")

    def _members(self, item: Any, what: str, fields: str) -> dict[str, Any]:
        document = self._is(item, dict, what)
        if set(document) != set(fields.split()):
            odd = sorted(set(document) ^ set(fields.split()))
            raise self._refusal(f"the {what} has missing or unknown members: {shown(', '.join(odd))}")
        return document

    def _is(self, value: Any, kind: type[_T], what: str) -> _T:
        if not isinstance(value, kind):
            raise self._refusal(f"{what} is not a {kind.__name__}")
        return value

    def _text(self, value: Any, what: str) -> str:
        text = self._is(value, str, what)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self._refusal(f"{what} holds half a character") from None
        return text

    def _count(self, value: Any, what: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_COUNT:
            raise self._refusal(f"{what} is not a count")
        return value

    def _refusal(self, reason: str) -> ManifestError:
        return ManifestError(f"{self._origin} is not valid: {reason}; shard again.")
