"""Fills a GPU's memory through a bounded ring of page-locked host buffers.

Bytes are written to the ring immediately. The framework is imported and the device opened on a separate
thread; from then on every complete chunk is copied on its own stream, and its slot freed after the copy.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from fastload.errors import FastloadError, StreamError
from fastload.memory import address_of, allocate

if TYPE_CHECKING:
    import torch

# Room for what arrives while the framework is imported, and for every connection's chunk after that.
_RING_BYTES = 768 << 20


class Device(Protocol):
    """What a ring needs of a device."""

    def open(self, size_bytes: int, ring: memoryview) -> None:
        """Allocate the destination and make `ring` fit for asynchronous copies."""
        ...

    def copy(self, offset_bytes: int, view: memoryview) -> Callable[[], None]:
        """Begin to copy `view` to `offset_bytes` of the destination; the result waits for the copy's end."""
        ...

    def close(self) -> None:
        """All copies have ended: release the ring."""
        ...

    def base(self) -> torch.Tensor:
        """The destination, flat uint8."""
        ...


class CudaCopier:
    """Copies from a ring to tensors of one CUDA device by way of torch."""

    def __init__(self, name: str) -> None:
        self._name = name

    def open(self, ring: memoryview) -> None:
        """Page-lock the ring. Raises StreamError without a CUDA device, or if locking fails."""
        import torch

        if not torch.cuda.is_available():
            raise StreamError(f"device {self._name!r} was asked for, but torch sees no CUDA device; use cpu.")
        self._torch = torch
        self._ring = ring
        self._stream = torch.cuda.Stream(self._name)  # type: ignore[no-untyped-call]
        cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        # Registering locks pages that are in use already: bytes may have landed before torch was there.
        outcome = cudart.cudaHostRegister(address_of(ring), len(ring), 0)
        if int(outcome) != 0:
            raise StreamError(
                f"page-locking {len(ring)} bytes failed (CUDA error {int(outcome)}); raise ulimit -l."
            )

    def allocate(self, size_bytes: int) -> torch.Tensor:
        """Memory of the device, flat uint8, that the next copies may fill."""
        import torch

        memory = torch.empty(size_bytes, dtype=torch.uint8, device=self._name)
        # It may be memory that earlier work on the current stream still uses.
        self._stream.wait_stream(torch.cuda.current_stream(self._name))
        memory.record_stream(self._stream)
        return memory

    def copy(self, target: torch.Tensor, view: memoryview) -> Callable[[], None]:
        """Begin to copy `view` to `target` (flat uint8); the result waits for the copy's end."""
        torch = self._torch
        source = torch.frombuffer(view, dtype=torch.uint8)
        done = torch.cuda.Event()
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
            done.record(self._stream)
        return lambda: done.synchronize()

    def close(self) -> None:
        """Wait for all copies, and release the ring."""
        self._stream.synchronize()
        cudart = self._torch.cuda.cudart()  # type: ignore[no-untyped-call]
        cudart.cudaHostUnregister(address_of(self._ring))


class CudaDevice:
    """One buffer on a CUDA device."""

    def __init__(self, name: str) -> None:
        self._copier = CudaCopier(name)

    def open(self, size_bytes: int, ring: memoryview) -> None:
        self._copier.open(ring)
        self._base = self._copier.allocate(size_bytes)

    def copy(self, offset_bytes: int, view: memoryview) -> Callable[[], None]:
        return self._copier.copy(self._base[offset_bytes : offset_bytes + len(view)], view)

    def close(self) -> None:
        self._copier.close()

    def base(self) -> torch.Tensor:
        return self._base


class RingDestination:
    """Chunks land in slots of the ring; one thread moves them to the device in the order they landed."""

    def __init__(
        self, device: Device, size_bytes: int, chunk_bytes: int, ring_bytes: int = _RING_BYTES
    ) -> None:
        self._device, self._size_bytes = device, size_bytes
        slots = max(1, min(ring_bytes // chunk_bytes, -(-size_bytes // chunk_bytes)))
        self._ring = allocate(slots * chunk_bytes)
        self._chunk_bytes = chunk_bytes
        self._free = deque(range(slots))
        self._slots: dict[int, int] = {}
        self._landed: deque[tuple[int, memoryview] | None] = deque()
        self._change = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fastload-device", daemon=True)
        self._thread.start()

    def claim(self, offset_bytes: int, size_bytes: int) -> memoryview:
        with self._change:
            self._change.wait_for(lambda: self._free or self._failure)
            if self._failure is not None:
                raise self._failure
            slot = self._slots[offset_bytes] = self._free.popleft()
        return self._ring[slot * self._chunk_bytes :][:size_bytes]

    def landed(self, offset_bytes: int, view: memoryview) -> None:
        with self._change:
            self._landed.append((offset_bytes, view))
            self._change.notify_all()

    def finish(self) -> None:
        with self._change:
            self._landed.append(None)
            self._change.notify_all()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        with self._change:
            self._failure = self._failure or StreamError(
                "the stream was closed before it finished; open it again."
            )
            self._change.notify_all()

    def base(self) -> torch.Tensor:
        return self._device.base()

    def _run(self) -> None:
        try:
            self._device.open(self._size_bytes, self._ring)
            try:
                self._move()
            finally:
                self._device.close()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            with self._change:
                self._failure = self._failure or _explained(error)
                self._change.notify_all()

    def _move(self) -> None:
        under_way: deque[tuple[int, Callable[[], None]]] = deque()
        more = True
        while more or under_way:
            with self._change:
                if not under_way:  # else there is something to wait for besides the network
                    self._change.wait_for(lambda: self._landed or self._failure)
                if self._failure is not None:
                    return
                landed = list(self._landed)
                self._landed.clear()
            for item in landed:
                if item is None:
                    more = False
                else:
                    under_way.append((item[0], self._device.copy(*item)))
            if under_way:
                offset_bytes, wait = under_way.popleft()
                wait()
                with self._change:
                    self._free.append(self._slots.pop(offset_bytes))
                    self._change.notify_all()


def _explained(error: BaseException) -> BaseException:
    if isinstance(error, FastloadError):
        return error
    explained = StreamError(f"the device could not be filled: {error}.")
    explained.__cause__ = error
    return explained
