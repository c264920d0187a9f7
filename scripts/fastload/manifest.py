"""The manifest: what is stored, where each tensor lies, and how every chunk is checked.

The format is described to the byte in docs/shard-format.md. Reading is strict: an unknown or missing member,
a wrong type, a number that contradicts another, or a changed byte is refused with a sentence.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastload.dtypes import TORCH_NAMES, tensor_bytes
from fastload.errors import ManifestError, ObjectMissingError
from fastload.storage.store import open_store

FORMAT_NAME = "fastload-shards"
FORMAT_VERSION = 1
MANIFEST_KEY = "manifest.json"
# cudaMalloc aligns to 256 bytes; a tensor that starts there can be used by any kernel without a copy.
ALIGNMENT_BYTES = 256

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
    return body + b',"manifest_sha256":"%s"}\n' % hashlib.sha256(body).hexdigest().encode()


def read_manifest(location: str) -> Manifest:
    """Read and check the manifest under a location. Raises ManifestError, StorageError."""
    store = open_store(location)
    session = store.session()
    try:
        return parse_manifest(session.read(MANIFEST_KEY), f"{store.location}/{MANIFEST_KEY}")
    except ObjectMissingError as error:
        raise ManifestError(
            f"{store.location} holds no {MANIFEST_KEY}: sharding has not finished, or it is another folder."
        ) from error
    finally:
        session.close()


def parse_manifest(data: bytes, origin: str) -> Manifest:
    """Check and read a manifest's bytes; `origin` names it in errors. Raises ManifestError."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ManifestError(
            f"{origin} is not JSON ({error}); it is damaged or no manifest: shard again."
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT_NAME:
        raise ManifestError(
            f"{origin} is not a {FORMAT_NAME} manifest; point at a folder that `fastload shard` wrote."
        )
    if document.get("version") != FORMAT_VERSION:
        raise ManifestError(
            f"{origin} has format version {document.get('version')!r}; "
            f"this fastload reads version {FORMAT_VERSION}. Shard again, or use the fastload that wrote it."
        )
    seal = _SEAL.search(data)
    if seal is None or hashlib.sha256(data[: seal.start()]).hexdigest().encode() != seal.group(1):
        raise ManifestError(
            f"{origin} does not match its own SHA-256: it was changed or damaged; shard again."
        )
    reader = _Reader(origin)
    manifest = reader.manifest(document)
    reader.check(manifest)
    return manifest


class _Reader:
    """Turns a decoded document into a Manifest, refusing whatever the format does not say."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def manifest(self, document: dict[str, Any]) -> Manifest:
        fields = (
            "format version source_digest dtype tensor_parallel_degree chunk_bytes alignment_bytes "
            "aliases ranks manifest_sha256"
        )
        get = self._members(document, "manifest", fields)
        aliases = self._is(get["aliases"], dict, "aliases")
        if self._count(get["alignment_bytes"], "alignment_bytes") != ALIGNMENT_BYTES:
            raise self._refusal(f"alignment_bytes is not {ALIGNMENT_BYTES}")
        return Manifest(
            source_digest=self._text(get["source_digest"], "source_digest"),
            dtype=self._text(get["dtype"], "dtype"),
            tensor_parallel_degree=self._count(get["tensor_parallel_degree"], "tensor_parallel_degree"),
            chunk_bytes=self._count(get["chunk_bytes"], "chunk_bytes"),
            aliases={name: self._text(target, f"alias {name}") for name, target in aliases.items()},
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
        dtype = self._text(get["dtype"], f"dtype of {name}")
        if dtype not in TORCH_NAMES:
            raise self._refusal(f"tensor {name} has the unknown dtype {dtype!r}")
        shape = tuple(
            self._count(length, f"shape of {name}") for length in self._is(get["shape"], list, "shape")
        )
        return TensorEntry(name, dtype, shape, self._count(get["offset_bytes"], f"offset of {name}"))

    def _chunk(self, item: Any) -> ChunkEntry:
        get = self._members(item, "chunk", "key size_bytes crc32c")
        key = self._text(get["key"], "chunk key")
        if key.startswith("/") or not all(part not in ("", ".", "..") for part in key.split("/")):
            raise self._refusal(f"chunk key {key!r} leaves the manifest's folder")
        checksum = self._text(get["crc32c"], f"crc32c of {key}")
        if not re.fullmatch(r"[0-9a-f]{8}", checksum):
            raise self._refusal(f"crc32c of {key} is not eight hexadecimal digits")
        return ChunkEntry(key, self._count(get["size_bytes"], f"size of {key}"), int(checksum, 16))

    def check(self, manifest: Manifest) -> None:
        """Refuse numbers that contradict each other."""
        if manifest.chunk_bytes == 0:
            raise self._refusal("chunk_bytes is zero")
        if [rank.rank for rank in manifest.ranks] != list(range(manifest.tensor_parallel_degree)):
            raise self._refusal(
                f"it does not list the ranks 0 to {manifest.tensor_parallel_degree - 1} in order"
            )
        for rank in manifest.ranks:
            self._check_chunks(rank, manifest.chunk_bytes)
            self._check_tensors(rank, manifest.aliases)

    def _check_chunks(self, rank: RankEntry, chunk_bytes: int) -> None:
        whole, rest = divmod(rank.size_bytes, chunk_bytes)
        expected = [chunk_bytes] * whole + ([rest] if rest else [])
        if [chunk.size_bytes for chunk in rank.chunks] != expected:
            raise self._refusal(
                f"the chunks of rank {rank.rank} do not add up to its {rank.size_bytes} bytes"
            )

    def _check_tensors(self, rank: RankEntry, aliases: Mapping[str, str]) -> None:
        end_bytes = 0
        names = {tensor.name for tensor in rank.tensors}
        if len(names) != len(rank.tensors):
            raise self._refusal(f"rank {rank.rank} lists a tensor twice")
        for tensor in rank.tensors:
            if tensor.offset_bytes < end_bytes or tensor.offset_bytes % ALIGNMENT_BYTES:
                raise self._refusal(
                    f"tensor {tensor.name} of rank {rank.rank} overlaps another or is not aligned"
                )
            end_bytes = tensor.offset_bytes + tensor.size_bytes
            if end_bytes > rank.size_bytes:
                raise self._refusal(f"tensor {tensor.name} of rank {rank.rank} ends beyond the rank's bytes")
        for alias, target in aliases.items():
            if alias in names or target not in names:
                raise self._refusal(f"alias {alias} does not name a second name of a stored tensor")

    def _members(self, item: Any, what: str, fields: str) -> dict[str, Any]:
        document = self._is(item, dict, what)
        if set(document) != set(fields.split()):
            odd = sorted(set(document) ^ set(fields.split()))
            raise self._refusal(f"the {what} has missing or unknown members: {', '.join(odd)}")
        return document

    def _is(self, value: Any, kind: type[_T], what: str) -> _T:
        if not isinstance(value, kind):
            raise self._refusal(f"{what} is not a {kind.__name__}")
        return value

    def _text(self, value: Any, what: str) -> str:
        return str(self._is(value, str, what))

    def _count(self, value: Any, what: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._refusal(f"{what} is not a count")
        return value

    def _refusal(self, reason: str) -> ManifestError:
        return ManifestError(f"{self._origin} is not valid: {reason}; shard again.")
