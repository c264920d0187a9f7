"""Plans what is read from a location, and its place in memory.

Tensors that serving engines fuse into one parameter (the three attention projections, gate and up projection,
the experts of a layer) are placed contiguously in the order in which they are fused, so that the parameter
can be a view of this memory. Tensors with unrecognised names are placed in the order of the files. The
placement does not affect the contents of tensors.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fastload.checkpoint import Checkpoint, SourceTensor, read_checkpoint
from fastload.chunk_scheduler import Piece, Run
from fastload.dtypes import DTYPE_BITS, tensor_bytes
from fastload.errors import StreamError
from fastload.manifest import MANIFEST_KEY, read_manifest
from fastload.storage.store import ObjectInfo, Store
from fastload.stream import SHARD_AGAIN, chunk_pieces

PIECE_BYTES = 16 << 20
# A cache line, and the alignment of the widest vector loads of CPUs; CUDA copies from any address.
_ALIGNMENT_BYTES = 64
UPLOAD_AGAIN = "The checkpoint was changed or is damaged; upload it again, then start again."

# Fused tensors: (pattern, order of the members).
_FUSED: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"^(?P<head>.*\.)(?P<expert>\d+)\.(?P<part>gate_proj|up_proj)(?P<tail>\..+)$"),
     ("gate_proj", "up_proj")),
    (re.compile(r"^(?P<head>.*\.)(?P<expert>\d+)\.(?P<part>w1|w3)(?P<tail>\..+)$"), ("w1", "w3")),
    (re.compile(r"^(?P<head>.*experts\.)(?P<expert>\d+)\.(?P<part>down_proj|w2)(?P<tail>\..+)$"),
     ("down_proj", "w2")),
    (re.compile(r"^(?P<head>.*\.)(?P<part>q_proj|k_proj|v_proj)(?P<tail>\..+)$"),
     ("q_proj", "k_proj", "v_proj")),
    (re.compile(r"^(?P<head>.*\.)(?P<part>gate_proj|up_proj)(?P<tail>\..+)$"), ("gate_proj", "up_proj")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlacedTensor:
    """A tensor, its offset in memory, and the numbers of the pieces that contain its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset_bytes: int
    first_piece: int
    last_piece: int


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is read. `tensors` are in the order in which their bytes are requested; S3 may have checksums of
    `files`.
    """

    size_bytes: int
    tensors: tuple[PlacedTensor, ...]
    pieces: tuple[Piece, ...]
    advice: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, ObjectInfo] = field(default_factory=dict)


def plan_load(store: Store, *, fused: bool = True) -> LoadPlan:
    """Plan from the manifest of shards or the headers of a safetensors checkpoint.

    Without `fused`, tensors are placed in the order of the files, without gaps. Raises CheckpointError,
    ManifestError, StorageError, and StreamError for shards of several ranks.
    """
    if MANIFEST_KEY in store.listing():
        return _plan_shards(store)
    return plan_checkpoint(read_checkpoint(store, with_digest=False), fused=fused)


def plan_checkpoint(
    checkpoint: Checkpoint, piece_bytes: int = PIECE_BYTES, *, fused: bool = True
) -> LoadPlan:
    """Place every tensor of a checkpoint and divide its files into pieces."""
    places, size_bytes = (_place if fused else _place_in_order)(checkpoint.tensors)
    tensors: list[PlacedTensor] = []
    pieces: list[Piece] = []
    for name, info in checkpoint.files.items():
        own = [tensor for tensor in checkpoint.tensors if tensor.file == name and tensor.size_bytes]
        for stretch in _stretches(own):
            first, start_bytes = len(pieces), stretch[0].start_bytes
            pieces += _pieces(name, info, stretch, places, piece_bytes)
            for tensor in stretch:
                begin = tensor.start_bytes - start_bytes
                last = begin + tensor.size_bytes - 1
                numbers = first + begin // piece_bytes, first + last // piece_bytes
                place = places[tensor.name]
                tensors.append(PlacedTensor(tensor.name, tensor.dtype, tensor.shape, place, *numbers))
    empty = [tensor for tensor in checkpoint.tensors if not tensor.size_bytes]
    tensors += [PlacedTensor(t.name, t.dtype, t.shape, 0, 0, -1) for t in empty]
    return LoadPlan(size_bytes, tuple(tensors), tuple(pieces), UPLOAD_AGAIN, files=checkpoint.files)


def _plan_shards(store: Store) -> LoadPlan:
    manifest = read_manifest(store.location)
    if manifest.tensor_parallel_degree != 1:
        raise StreamError(
            f"{store.location} holds shards for tensor-parallel degree {manifest.tensor_parallel_degree};"
            " an engine splits tensors for each rank itself. Use the model's own safetensors files, or shards"
            " for degree 1."
        )
    entry, chunk_bytes = manifest.rank(0), manifest.chunk_bytes
    tensors = tuple(
        PlacedTensor(
            tensor.name,
            tensor.dtype,
            tensor.shape,
            tensor.offset_bytes,
            tensor.offset_bytes // chunk_bytes,
            (tensor.offset_bytes + tensor_bytes(tensor.dtype, tensor.shape) - 1) // chunk_bytes,
        )
        for tensor in entry.tensors
    )
    pieces = tuple(chunk_pieces(entry, chunk_bytes))
    return LoadPlan(entry.size_bytes, tensors, pieces, SHARD_AGAIN, aliases=manifest.aliases)


def _place(tensors: Sequence[SourceTensor]) -> tuple[dict[str, int], int]:
    """The offset of each tensor in memory, and the size of the memory."""
    groups: dict[tuple[str, str], list[tuple[tuple[int, int], SourceTensor]]] = {}
    for tensor in tensors:
        group, order = _fused_with(tensor.name)
        groups.setdefault((group, tensor.dtype), []).append((order, tensor))
    places: dict[str, int] = {}
    end_bytes = 0
    for members in groups.values():
        end_bytes = -(-end_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        for _, tensor in sorted(members, key=lambda member: member[0]):
            item_bytes = max(DTYPE_BITS[tensor.dtype] // 8, 1)
            end_bytes = -(-end_bytes // item_bytes) * item_bytes
            places[tensor.name] = end_bytes
            end_bytes += tensor.size_bytes
    return places, end_bytes


def _place_in_order(tensors: Sequence[SourceTensor]) -> tuple[dict[str, int], int]:
    """The same in the order of the files: then every piece is one run."""
    ends = list(itertools.accumulate((tensor.size_bytes for tensor in tensors), initial=0))
    return {tensor.name: start for tensor, start in zip(tensors, ends, strict=False)}, ends[-1]


def _fused_with(name: str) -> tuple[str, tuple[int, int]]:
    """The name of the group that a tensor belongs to, and its position in the group."""
    for pattern, parts in _FUSED:
        if found := pattern.match(name):
            values = found.groupdict()
            group = f"{values['head']}{'*' if 'expert' in values else ''}{'+'.join(parts)}{values['tail']}"
            return group, (int(values.get("expert", 0)), parts.index(values["part"]))
    return name, (0, 0)


def _stretches(tensors: Sequence[SourceTensor]) -> list[list[SourceTensor]]:
    """A file's tensors, divided at gaps of unneeded bytes."""
    found: list[list[SourceTensor]] = []
    end_bytes = -1
    for tensor in tensors:
        if tensor.start_bytes != end_bytes:
            found.append([])
        found[-1].append(tensor)
        end_bytes = tensor.start_bytes + tensor.size_bytes
    return found


def _pieces(
    name: str,
    info: ObjectInfo,
    tensors: Sequence[SourceTensor],
    places: Mapping[str, int],
    piece_bytes: int,
) -> list[Piece]:
    """Divide tensors that are contiguous in a file into pieces of equal length."""
    runs: list[Run] = []  # of the whole contiguous range
    for tensor in tensors:
        start = tensor.start_bytes - tensors[0].start_bytes
        last = runs[-1] if runs else None
        if last is not None and last.offset_bytes + last.size_bytes == places[tensor.name]:
            runs[-1] = Run(last.start_bytes, last.offset_bytes, last.size_bytes + tensor.size_bytes)
        else:
            runs.append(Run(start, places[tensor.name], tensor.size_bytes))
    total_bytes = runs[-1].start_bytes + runs[-1].size_bytes
    return [
        Piece(
            name,
            info.size_bytes,
            tensors[0].start_bytes + start,
            min(piece_bytes, total_bytes - start),
            tuple(_cut(runs, start, min(start + piece_bytes, total_bytes))),
            version=info.version,
        )
        for start in range(0, total_bytes, piece_bytes)
    ]


def _cut(runs: Sequence[Run], start: int, stop: int) -> Iterator[Run]:
    """The parts of the runs between two offsets, relative to `start`."""
    index = bisect_right(runs, start, key=lambda run: run.start_bytes) - 1
    for run in itertools.islice(runs, index, None):
        if run.start_bytes >= stop:
            return
        first, last = max(run.start_bytes, start), min(run.start_bytes + run.size_bytes, stop)
        yield Run(first - start, run.offset_bytes + first - run.start_bytes, last - first)
