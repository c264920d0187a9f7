"""The board: whatever the order of events, every byte is read once and every chunk verified once."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from fastload.chunk_scheduler import SEGMENT_BYTES, ChunkScheduler, Part
from fastload.manifest import ChunkEntry

_MIB = 1 << 20


def test_a_throttled_connection_leaves_its_part_to_others_but_never_the_last_ones() -> None:
    scheduler = ChunkScheduler(
        [ChunkEntry("0", 10 * _MIB, 0)], 10 * _MIB, lambda _, size: memoryview(bytearray(size))
    )
    for _ in range(3):
        scheduler.join()
    part = scheduler.take()
    assert part is not None
    assert not scheduler.leave(part, 3)
    assert scheduler.leave(part, 2)
    assert scheduler.connections == 2
    assert scheduler.take() is part


def test_segments_are_long_while_much_is_left_and_short_at_the_end() -> None:
    chunks = [ChunkEntry(str(index), 32 * _MIB, 0) for index in range(8)]
    scheduler = ChunkScheduler(chunks, 32 * _MIB, lambda _, size: memoryview(bytearray(size)))
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
        return _Extent(self.start + cut.start, self.start + cut.stop)


@given(
    sizes=st.lists(st.integers(1, 40 * _MIB), min_size=1, max_size=4),
    connections=st.integers(1, 6),
    choices=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(("read", "read", "read", "leave"))), max_size=300
    ),
    wanted_bytes=st.integers(0, 40 * _MIB),
)
def test_every_byte_is_handed_out_exactly_once(
    sizes: list[int], connections: int, choices: list[tuple[int, str]], wanted_bytes: int
) -> None:
    chunk_bytes = 40 * _MIB
    chunks = [ChunkEntry(str(index), size, 0) for index, size in enumerate(sizes)]
    scheduler = ChunkScheduler(chunks, chunk_bytes, lambda offset, size: cast("memoryview", _Extent(0, size)))
    working: dict[int, Part] = {}
    idle = set(range(connections))
    for _ in idle:
        scheduler.join()
    read: dict[int, list[tuple[int, int]]] = {}
    finished: list[int] = []

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
                read.setdefault(part.chunk.offset_bytes, []).append((extent.start, extent.stop))
                part.position = part.reserved
            else:
                del working[number]
                idle.add(number)
                if scheduler.finish(part):
                    finished.append(part.chunk.offset_bytes)
                    scheduler.complete()

    for number, action in choices:
        step(number % connections, action)
    while working or idle:
        for number in [*working, *idle]:
            step(number, "read")
    assert scheduler.is_done
    assert sorted(finished) == [index * chunk_bytes for index in range(len(sizes))]
    for index, size in enumerate(sizes):
        end = 0
        for start, stop in sorted(read[index * chunk_bytes]):
            assert start == end
            end = stop
        assert end == size
