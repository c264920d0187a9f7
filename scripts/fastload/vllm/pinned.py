"""Pinned memory: registers mapped memory with CUDA, piece by piece, before it is copied.

A copy from pageable memory uses a small buffer of the driver at a fraction of the bus's rate. Registering
takes as long as touching the pages, so a separate thread does it before the copies.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol, Self

import torch

_STEP_BYTES = 256 << 20


class Runtime(Protocol):
    """The functions of `torch.cuda.cudart()` that are used."""

    def cudaHostRegister(self, address: int, size_bytes: int, flags: int) -> Any: ...  # noqa: N802

    def cudaHostUnregister(self, address: int) -> Any: ...  # noqa: N802


class PinnedMemory:
    """Registers `memory` (flat, uint8, on the CPU), from its start, while the context is open.

    Memory that cannot be registered (because of a limit on locked memory) is copied more slowly.
    """

    def __init__(self, memory: torch.Tensor, runtime: Runtime | None = None) -> None:
        self._memory = memory
        self._runtime: Runtime = runtime or torch.cuda.cudart()  # type: ignore[no-untyped-call]
        self._steps: list[int] = []
        self._registered_bytes = 0
        self._stop = threading.Event()
        self._device = torch.cuda.current_device() if runtime is None else None
        self._thread = threading.Thread(target=self._register, name="fastload-pin", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._device is not None:
            torch.cuda.synchronize(self._device)  # copies may still be in progress
        for address in self._steps:
            self._runtime.cudaHostUnregister(address)

    def summary(self) -> str:
        """A summary of the registered memory."""
        return f"{self._registered_bytes / 1e9:.2f} GB of it copied from pinned memory"

    def _register(self) -> None:
        if self._device is not None:
            torch.cuda.set_device(self._device)
        start, total_bytes = self._memory.data_ptr(), self._memory.nbytes
        for offset in range(0, total_bytes, _STEP_BYTES):
            size_bytes = min(_STEP_BYTES, total_bytes - offset)
            if self._stop.is_set() or int(self._runtime.cudaHostRegister(start + offset, size_bytes, 0)):
                return
            self._steps.append(start + offset)
            self._registered_bytes += size_bytes
