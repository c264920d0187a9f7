"""Streams a checkpoint that does not fit into host memory to a GPU, tensor by tensor.

Bytes pass through the bounded ring of `gpu_ring` into one buffer of the device per tensor. A tensor is handed
out as soon as it is complete; who takes it copies it to its place and lets it go, so the device holds few of
them at a time. Unlike memory that is shared (`prefetch`), every process reads all bytes itself, and checksums
of whole objects are not compared: pieces of shards by their CRC32C, length and ETag always.
"""

from __future__ import annotations

import contextlib
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from fastload.dtypes import tensor_bytes, torch_shape
from fastload.errors import FastloadError, StreamError
from fastload.gpu_ring import CudaCopier, RingDestination
from fastload.prefetch.plan import PlacedTensor, plan_load
from fastload.reader import Reader
from fastload.storage.store import open_store

if TYPE_CHECKING:
    import torch

# Complete tensors that nobody has taken yet; further copies wait.
_MOST_WAITING_BYTES = 1 << 30


class Copier(Protocol):
    """What is needed of a device; `CudaCopier` is one."""

    def open(self, ring: memoryview) -> None: ...

    def allocate(self, size_bytes: int) -> torch.Tensor: ...

    def copy(self, target: torch.Tensor, view: memoryview) -> Callable[[], None]: ...

    def close(self) -> None: ...


class TensorsOnDevice:
    """The device of a ring that has a buffer for each tensor instead of one for all."""

    def __init__(
        self, tensors: Sequence[PlacedTensor], copier: Copier, most_waiting_bytes: int = _MOST_WAITING_BYTES
    ) -> None:
        self._copier, self._most_waiting_bytes = copier, most_waiting_bytes
        sizes = [(tensor, tensor_bytes(tensor.dtype, tensor.shape)) for tensor in tensors]
        self._tensors = sorted(((t, n) for t, n in sizes if n), key=lambda item: item[0].offset_bytes)
        self._starts = [tensor.offset_bytes for tensor, _ in self._tensors]
        self._missing_bytes = {tensor.name: size for tensor, size in self._tensors}
        self._buffers: dict[str, torch.Tensor] = {}
        self._complete: deque[tuple[PlacedTensor, torch.Tensor | None]] = deque(
            (tensor, None) for tensor, size in sizes if not size
        )
        self._waiting_bytes = 0
        self._left = len(tensors)
        self._change = threading.Condition()
        self._failure: BaseException | None = None

    # The device of the ring; its thread calls these.

    def open(self, size_bytes: int, ring: memoryview) -> None:
        self._copier.open(ring)

    def copy(self, offset_bytes: int, view: memoryview) -> Callable[[], None]:
        waits: list[tuple[Callable[[], None], PlacedTensor, int]] = []
        stop_bytes = offset_bytes + len(view)
        start = max(bisect_right(self._starts, offset_bytes) - 1, 0)
        for index in range(start, len(self._tensors)):
            tensor, size = self._tensors[index]
            if tensor.offset_bytes >= stop_bytes:
                break
            first, last = max(tensor.offset_bytes, offset_bytes), min(tensor.offset_bytes + size, stop_bytes)
            if first >= last:  # shards have gaps
                continue
            if tensor.name not in self._buffers:
                self._buffers[tensor.name] = self._copier.allocate(size)
            target = self._buffers[tensor.name][first - tensor.offset_bytes : last - tensor.offset_bytes]
            copied = self._copier.copy(target, view[first - offset_bytes : last - offset_bytes])
            waits.append((copied, tensor, last - first))

        def wait() -> None:
            for wait_for_copy, tensor, length in waits:
                wait_for_copy()
                self._landed(tensor, length)

        return wait

    def close(self) -> None:
        self._copier.close()

    def base(self) -> torch.Tensor:
        """There is none."""
        raise NotImplementedError

    # The other side.

    def end(self, failure: BaseException) -> None:
        """No further bytes come because of `failure`; the first one is raised by `take`."""
        with self._change:
            self._failure = self._failure or failure
            self._change.notify_all()

    def take(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor in the order in which they become complete. Raises the failure."""
        from fastload.tensors import torch_dtype

        while self._left:
            with self._change:
                self._change.wait_for(lambda: self._complete or self._failure)
                if self._failure is not None:
                    raise self._failure
                tensor, memory = self._complete.popleft()
                self._left -= 1
                if memory is not None:
                    self._waiting_bytes -= memory.nbytes
                    self._change.notify_all()
            dtype = torch_dtype(tensor.name, tensor.dtype)
            flat = self._copier.allocate(0) if memory is None else memory
            yield tensor.name, flat.view(dtype).view(torch_shape(tensor.dtype, tensor.shape))

    def _landed(self, tensor: PlacedTensor, length: int) -> None:
        self._missing_bytes[tensor.name] -= length
        if self._missing_bytes[tensor.name]:
            return
        memory = self._buffers.pop(tensor.name)
        with self._change:
            self._change.wait_for(lambda: self._failure or self._waiting_bytes < self._most_waiting_bytes)
            self._complete.append((tensor, memory))
            self._waiting_bytes += memory.nbytes
            self._change.notify_all()


def stream_tensors(
    location: str,
    device: str,
    *,
    connections: int | None = None,
    with_aliases: bool = True,
    copier: Copier | None = None,
) -> Generator[tuple[str, torch.Tensor]]:
    """Yield every tensor of a checkpoint or of shards on `device`, tied ones under both names if asked for.

    Raises what goes wrong as soon as it is known: CheckpointError, ManifestError, ChunkError, StorageError,
    StreamError. Then the tensors that were yielded must not be used.
    """
    store = open_store(location)
    plan = plan_load(store, fused=False)
    tensors = TensorsOnDevice(plan.tensors, copier or CudaCopier(device))
    piece_bytes = max((piece.size_bytes for piece in plan.pieces), default=1)
    ring = RingDestination(tensors, plan.size_bytes, piece_bytes)
    reader = Reader(store, plan.pieces, ring, connections, advice=plan.advice)

    def read() -> None:
        try:
            reader.run()
            ring.finish()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that takes the tensors
            tensors.end(error)

    thread = threading.Thread(target=read, name="fastload-stream", daemon=True)
    thread.start()
    tied: dict[str, torch.Tensor] = {}
    try:
        for name, tensor in tensors.take():
            if with_aliases and name in plan.aliases.values():
                tied[name] = tensor
            yield name, tensor
        for alias, name in plan.aliases.items() if with_aliases else ():
            yield alias, tied[name]
    finally:
        tensors.end(StreamError("the stream was closed before it finished; open it again."))
        reader.stop()
        ring.abandon()
        thread.join()
        with contextlib.suppress(FastloadError):  # raised by `take`; here it only waits for the ring's end
            ring.finish()
