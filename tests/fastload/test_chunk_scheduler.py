"""The scheduler: whatever the order of events, every byte is read once and every chunk verified once."""

from __future__ import annotations

import itertools
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from fastload.chunk_scheduler import SEGMENT_BYTES, ChunkScheduler, Part, Piece, Run

_MIB = 1 << 20


def _piece(key: str, size_bytes: int, offset_bytes: int = 0) -> Piece:
    return Piece(key, size_bytes, 0, size_bytes, (Run(0, offset_bytes, size_bytes),))


def test_a_throttled_connection_leaves_its_part_to_others_but_never_the_last_ones() -> None:
    scheduler = ChunkScheduler([_piece("0", 10 * _MIB)], lambda _, size: memoryview(bytearray(size)))
    for _ in range(3):
        scheduler.join()
    part = scheduler.take()
    assert part is not None
    assert not scheduler.leave(part, 3)
    assert scheduler.leave(part, 2)
    assert scheduler.connections == 2
    assert scheduler.take() is part


def test_segments_are_long_while_much_is_left_and_short_at_the_end() -> None:
    pieces = [_piece(str(index), 32 * _MIB) for index in range(8)]
    scheduler = ChunkScheduler(pieces, lambda _, size: memoryview(bytearray(size)))
    scheduler.join()
    scheduler.join()
    lengths = []
    while (part := scheduler.take()) is not None:
        while len(view := scheduler.next_segment(part, 24 * _MIB)):
            lengths.append(len(view))
            part.position += len(view)
        if scheduler.finish(part):
            scheduler.complete()
    assert scheduler.is_done
    assert lengths[0] == 24 * _MIB
    assert lengths[-1] <= SEGMENT_BYTES
    left_bytes = sum(lengths)
    for length in lengths:
        assert length <= max(SEGMENT_BYTES, left_bytes // 4)
        left_bytes -= length


class _Extent:
    """Stands for memory: slices like a memoryview, and knows where it lies."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, cut: slice) -> _Extent:
        return _Extent(self.start + cut.start, min(self.start + cut.stop, self.stop))


@given(
    sizes=st.lists(st.integers(1, 40 * _MIB), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 40 * _MIB), max_size=3),
    connections=st.integers(1, 6),
    choices=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(("read", "read", "read", "leave"))), max_size=300
    ),
    wanted_bytes=st.integers(0, 40 * _MIB),
)
def test_every_byte_is_handed_out_exactly_once(
    sizes: list[int], cuts: list[int], connections: int, choices: list[tuple[int, str]], wanted_bytes: int
) -> None:
    pieces = [_scattered(str(index), size, cuts, index * 200 * _MIB) for index, size in enumerate(sizes)]
    claimed: list[tuple[int, int]] = []

    def claim(offset: int, size: int) -> memoryview:
        claimed.append((offset, offset + size))
        return cast("memoryview", _Extent(offset, offset + size))

    scheduler = ChunkScheduler(pieces, claim)
    working: dict[int, Part] = {}
    idle = set(range(connections))
    for _ in idle:
        scheduler.join()
    read: list[tuple[int, int]] = []
    finished: list[str] = []

    def step(number: int, action: str) -> None:
        if number in idle:
            part = scheduler.take()
            idle.discard(number)
            if part is not None:
                working[number] = part
        elif number in working:
            part = working[number]
            if action == "leave" and scheduler.leave(part, 1):
                del working[number]
                return
            extent = cast("_Extent", scheduler.next_segment(part, wanted_bytes))
            if len(extent):
                read.append((extent.start, extent.stop))
                part.position = part.reserved
            else:
                del working[number]
                idle.add(number)
                if scheduler.finish(part):
                    finished.append(part.piece.piece.key)
                    scheduler.complete()

    for number, action in choices:
        step(number % connections, action)
    while working or idle:
        for number in [*working, *idle]:
            step(number, "read")
    assert scheduler.is_done
    assert sorted(finished) == [piece.key for piece in pieces]
    assert _joined(read) == _joined(claimed)
    assert _joined(claimed) == _joined(
        [(run.offset_bytes, run.offset_bytes + run.size_bytes) for piece in pieces for run in piece.runs]
    )


def _scattered(key: str, size_bytes: int, cuts: list[int], offset_bytes: int) -> Piece:
    """A piece whose runs lie in the destination in the opposite order, with holes between them."""
    edges = [0, *sorted({cut for cut in cuts if cut < size_bytes}), size_bytes]
    runs = [
        Run(start, offset_bytes + (len(edges) - index) * 45 * _MIB, stop - start)
        for index, (start, stop) in enumerate(itertools.pairwise(edges))
    ]
    return Piece(key, size_bytes, 0, size_bytes, tuple(runs))


def _joined(extents: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Extents that meet, as one; two that overlap fail the test."""
    whole: list[tuple[int, int]] = []
    for start, stop in sorted(extents):
        assert not whole or whole[-1][1] <= start
        if whole and whole[-1][1] == start:
            whole[-1] = (whole[-1][0], stop)
        else:
            whole.append((start, stop))
    return whole
