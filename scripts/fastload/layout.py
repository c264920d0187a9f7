"""The position of every tensor of every rank, and the source bytes of a section of the ranks' buffers.

All ranks share one layout: a tensor has the same offset on each, so that one stretch of offsets, a stripe,
needs the same tensors for every rank and the source is read once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastload.checkpoint import Checkpoint, SourceTensor
from fastload.dtypes import DTYPE_BITS, tensor_bytes
from fastload.errors import PartitionError
from fastload.manifest import ALIGNMENT_BYTES, TensorEntry
from fastload.tensor_partition import Cut, Partition


@dataclass(frozen=True, slots=True)
class PlacedTensor:
    """A tensor's place in the ranks' buffers, and the part of each rank."""

    source: SourceTensor
    offset_bytes: int
    cuts: tuple[Cut, ...]

    def shape(self, rank: int) -> tuple[int, ...]:
        """Shape of the rank's part."""
        cut, shape = self.cuts[rank], self.source.shape
        if cut.axis is None:
            return shape
        return (*shape[: cut.axis], cut.stop - cut.start, *shape[cut.axis + 1 :])

    def size_bytes(self, rank: int) -> int:
        """Bytes of the rank's part."""
        return tensor_bytes(self.source.dtype, self.shape(rank))

    def row_bytes(self) -> int:
        """Bytes of one index of the first axis in the source."""
        return tensor_bytes(self.source.dtype, self.source.shape[1:])


@dataclass(frozen=True, slots=True)
class Layout:
    """The common layout of all ranks; `size_bytes` is the length of each rank's buffer."""

    tensors: tuple[PlacedTensor, ...]
    degree: int
    size_bytes: int

    def entries(self, rank: int) -> tuple[TensorEntry, ...]:
        """The manifest's tensor table of one rank."""
        return tuple(
            TensorEntry(placed.source.name, placed.source.dtype, placed.shape(rank), placed.offset_bytes)
            for placed in self.tensors
        )


@dataclass(frozen=True, slots=True)
class Copy:
    """`length_bytes` consecutive source bytes that land, consecutive again, at `offset_bytes` of a stripe on
    `ranks`.
    """

    file: str
    start_bytes: int
    length_bytes: int
    offset_bytes: int
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Whole source rows of a column-cut tensor, each cut into one piece per rank.

    `first_byte` is where the stretch of each rank's part starts (it may be inside a row), `length_bytes` its
    length, `offset_bytes` where it lands in the stripe.
    """

    tensor: PlacedTensor
    first_byte: int
    length_bytes: int
    offset_bytes: int


def plan_layout(checkpoint: Checkpoint, degree: int, left_out: frozenset[str]) -> Layout:
    """Place all tensors but those in `left_out` (tied ones), in the order of the source."""
    partition = Partition(checkpoint.config, degree)
    placed, end_bytes = [], 0
    for tensor in checkpoint.tensors:
        cuts = partition.cuts(tensor.name, tensor.shape)
        if DTYPE_BITS[tensor.dtype] < 8 and cuts[0].axis is not None:
            raise PartitionError(
                f"tensor {tensor.name} is {tensor.dtype}, whose elements are no whole bytes and cannot be "
                f"cut for tensor-parallel degree {degree}; shard with degree 1."
            )
        if tensor.name in left_out:
            continue
        start_bytes = -(-end_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        placed.append(PlacedTensor(tensor, start_bytes, cuts))
        end_bytes = start_bytes + placed[-1].size_bytes(0)
    return Layout(tuple(placed), degree, end_bytes)


def stripe_parts(layout: Layout, start_bytes: int, stop_bytes: int) -> list[Copy | Scatter]:
    """The source bytes of start_bytes to stop_bytes of every rank's buffer."""
    parts: list[Copy | Scatter] = []
    for placed in layout.tensors:
        if placed.offset_bytes >= stop_bytes:
            break
        first = max(start_bytes - placed.offset_bytes, 0)
        last = min(stop_bytes - placed.offset_bytes, placed.size_bytes(0))
        if first >= last:
            continue
        offset = placed.offset_bytes + first - start_bytes
        if placed.cuts[0].axis == 1:
            parts.append(Scatter(placed, first, last - first, offset))
        else:
            parts += _copies(placed, first, last, offset)
    return list(_merged(parts))


def _copies(placed: PlacedTensor, first: int, last: int, offset: int) -> Iterator[Copy]:
    origin, file = placed.source.start_bytes, placed.source.file
    sharers: dict[tuple[int, int], list[int]] = {}
    for rank, cut in enumerate(placed.cuts):
        start = cut.start * placed.row_bytes() if cut.axis == 0 else 0
        length = min(last, placed.size_bytes(rank)) - first
        if length > 0:
            sharers.setdefault((origin + start + first, length), []).append(rank)
    for (start, length), ranks in sharers.items():
        yield Copy(file, start, length, offset, tuple(ranks))


def _merged(parts: list[Copy | Scatter]) -> Iterator[Copy | Scatter]:
    """Join copies that continue each other in the source and in the stripe, so that each is one request."""
    waiting: Copy | None = None
    for part in parts:
        if (
            isinstance(part, Copy)
            and waiting is not None
            and (part.file, part.ranks) == (waiting.file, waiting.ranks)
            and part.start_bytes == waiting.start_bytes + waiting.length_bytes
            and part.offset_bytes == waiting.offset_bytes + waiting.length_bytes
        ):
            length = waiting.length_bytes + part.length_bytes
            waiting = Copy(part.file, waiting.start_bytes, length, waiting.offset_bytes, part.ranks)
            continue
        if waiting is not None:
            yield waiting
        waiting = part if isinstance(part, Copy) else None
        if isinstance(part, Scatter):
            yield part
    if waiting is not None:
        yield waiting
