"""The destination of a rank's bytes: host memory, or a GPU through pinned buffers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from fastload.errors import StreamError
from fastload.gpu_ring import CudaDevice, RingDestination
from fastload.memory import allocate

if TYPE_CHECKING:
    import torch


class Destination(Protocol):
    """Takes chunks in any order, from several threads."""

    def claim(self, offset_bytes: int, size_bytes: int) -> memoryview:
        """Memory for the bytes from `offset_bytes` on. May wait for a free buffer."""
        ...

    def landed(self, offset_bytes: int, view: memoryview) -> None:
        """The claimed memory is filled and verified."""
        ...

    def finish(self) -> None:
        """Wait until every byte is on the device."""
        ...

    def abandon(self) -> None:
        """No more bytes will come: end all waits."""
        ...

    def base(self) -> torch.Tensor:
        """All bytes, as a flat uint8 tensor on the device."""
        ...


def open_destination(device: str, size_bytes: int, chunk_bytes: int) -> Destination:
    """The destination for a torch device name. Raises StreamError for a device it cannot fill."""
    if device == "cpu":
        return HostDestination(size_bytes)
    if re.fullmatch(r"cuda(:\d+)?", device):
        return RingDestination(CudaDevice(device), size_bytes, chunk_bytes)
    raise StreamError(f"device {device!r} is not one of cpu, cuda, cuda:N.")


class HostDestination:
    """One buffer in host memory; chunks land where the tensors will be."""

    def __init__(self, size_bytes: int) -> None:
        self._buffer = allocate(max(size_bytes, 1))

    def claim(self, offset_bytes: int, size_bytes: int) -> memoryview:
        return self._buffer[offset_bytes : offset_bytes + size_bytes]

    def landed(self, offset_bytes: int, view: memoryview) -> None:
        """Nothing to do: the bytes are at their destination."""

    def finish(self) -> None:
        """Nothing to wait for."""

    def abandon(self) -> None:
        """Nobody ever waits."""

    def base(self) -> torch.Tensor:
        import torch

        return torch.frombuffer(self._buffer, dtype=torch.uint8)
