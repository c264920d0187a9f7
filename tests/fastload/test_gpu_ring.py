"""The way to a device, with a stand-in whose copies end late and out of the reader's control."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
import torch

from fastload.errors import StreamError
from fastload.gpu_ring import CudaDevice, RingDestination

_CHUNK_BYTES = 64 << 10


class SlowDevice:
    """Copies when it is waited for, not before: a slot given back too early would show other bytes."""

    def __init__(self, opened: threading.Event | None = None) -> None:
        self._opened = opened
        self.closed = False

    def open(self, size_bytes: int, ring: memoryview) -> None:
        if self._opened is not None:
            self._opened.wait()
        self.ring_bytes = len(ring)
        self._base = torch.zeros(size_bytes, dtype=torch.uint8)

    def copy(self, offset_bytes: int, view: memoryview) -> Callable[[], None]:
        def wait() -> None:
            self._base[offset_bytes : offset_bytes + len(view)] = torch.frombuffer(view, dtype=torch.uint8)

        return wait

    def close(self) -> None:
        self.closed = True

    def base(self) -> torch.Tensor:
        return self._base


class BrokenDevice(SlowDevice):
    """Fails at the second copy."""

    copies = 0

    def copy(self, offset_bytes: int, view: memoryview) -> Callable[[], None]:
        self.copies += 1
        if self.copies == 2:
            raise RuntimeError("out of device memory")
        return super().copy(offset_bytes, view)


def fill(destination: RingDestination, data: bytes, threads: int) -> None:
    """Land all chunks from several threads."""
    starts = list(range(0, len(data), _CHUNK_BYTES))

    def work() -> None:
        while starts:
            try:
                start = starts.pop()
            except IndexError:
                return
            piece = data[start : start + _CHUNK_BYTES]
            view = destination.claim(start, len(piece))
            view[:] = piece
            destination.landed(start, view)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@pytest.mark.parametrize("slots", [1, 3, 1000])
def test_every_byte_reaches_the_device_through_a_bounded_ring(slots: int) -> None:
    data = random.Random(slots).randbytes(20 * _CHUNK_BYTES + 12345)
    device = SlowDevice()
    destination = RingDestination(device, len(data), _CHUNK_BYTES, ring_bytes=slots * _CHUNK_BYTES)
    fill(destination, data, threads=4)
    destination.finish()
    assert destination.base().numpy().tobytes() == data
    assert device.ring_bytes == min(slots, 21) * _CHUNK_BYTES
    assert device.closed


def test_bytes_land_before_the_device_is_open() -> None:
    opened = threading.Event()
    data = bytes(range(256)) * 256 * 3
    destination = RingDestination(SlowDevice(opened), len(data), _CHUNK_BYTES)
    fill(destination, data, threads=2)  # would hang if landing needed the device
    opened.set()
    destination.finish()
    assert destination.base().numpy().tobytes() == data


def test_a_failing_device_ends_the_wait_for_a_slot_with_its_reason() -> None:
    destination = RingDestination(BrokenDevice(), 10 * _CHUNK_BYTES, _CHUNK_BYTES, ring_bytes=_CHUNK_BYTES)
    with pytest.raises(StreamError, match="out of device memory"):
        for start in range(0, 10 * _CHUNK_BYTES, _CHUNK_BYTES):
            view = destination.claim(start, _CHUNK_BYTES)
            destination.landed(start, view)


def test_abandoning_ends_every_wait() -> None:
    opened = threading.Event()
    destination = RingDestination(SlowDevice(opened), 2 * _CHUNK_BYTES, _CHUNK_BYTES, ring_bytes=_CHUNK_BYTES)
    destination.claim(0, _CHUNK_BYTES)
    timer = threading.Timer(0.05, destination.abandon)
    timer.start()
    with pytest.raises(StreamError, match="closed before it finished"):
        destination.claim(_CHUNK_BYTES, _CHUNK_BYTES)
    timer.join()
    opened.set()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused_with_a_sentence() -> None:
    destination = RingDestination(CudaDevice("cuda"), _CHUNK_BYTES, _CHUNK_BYTES)
    with pytest.raises(StreamError, match="torch sees no CUDA device"):
        destination.finish()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_receives_every_byte() -> None:
    data = random.Random(0).randbytes(20 * _CHUNK_BYTES + 1)
    destination = RingDestination(CudaDevice("cuda"), len(data), _CHUNK_BYTES, ring_bytes=4 * _CHUNK_BYTES)
    fill(destination, data, threads=4)
    destination.finish()
    assert destination.base().cpu().numpy().tobytes() == data
