"""Pinned memory: registers mapped memory with CUDA while tensors are copied from it.

A copy from pageable memory passes through a small buffer of the driver, at a sixth of the bus's rate
(measured on an H100: 9 instead of 55 GB/s). A separate thread registers the memory beside the first copies
(29 GB/s), as a whole, because CUDA refuses a copy that crosses the border of a registration.

Memory that is still being filled is not registered: that would take the pages which the prefetching process
is about to fill, one after the other (2.6 GB/s), and bytes that arrive more slowly than 9 GB/s gain nothing.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol, Self

import torch


class Runtime(Protocol):
    """The functions of `torch.cuda.cudart()` that are used."""

    def cudaHostRegister(self, address: int, size_bytes: int, flags: int) -> Any: ...  # noqa: N802

    def cudaHostUnregister(self, address: int) -> Any: ...  # noqa: N802


class PinnedMemory:
    """Registers `memory` (flat, uint8, on the CPU) while the context is open, if it `is_filled`.

    Memory that cannot be registered (because of a limit on locked memory) is copied more slowly.
    """

    def __init__(self, memory: torch.Tensor, *, is_filled: bool, runtime: Runtime | None = None) -> None:
        self._memory, self._is_filled = memory, is_filled
        self._runtime: Runtime = runtime or torch.cuda.cudart()  # type: ignore[no-untyped-call]
        self._error: int | None = None
        self._seconds = 0.0
        self._device = torch.cuda.current_device() if runtime is None else None
        self._thread = threading.Thread(target=self._register, name="fastload-pin", daemon=True)

    def __enter__(self) -> Self:
        if self._is_filled:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_filled:
            self._thread.join()
        if self._device is not None:
            torch.cuda.synchronize(self._device)  # copies may still be in progress
        if self._error == 0:
            self._runtime.cudaHostUnregister(self._memory.data_ptr())

    def summary(self) -> str:
        """Whether the memory was pinned, and how long that took."""
        if not self._is_filled:
            return "copied while they arrived"
        if self._error:
            return f"copied from memory that could not be pinned (CUDA error {self._error})"
        return f"copied from memory that was pinned in {self._seconds:.2f} seconds"

    def _register(self) -> None:
        if self._device is not None:
            torch.cuda.set_device(self._device)
        began_s = time.perf_counter()
        self._error = int(self._runtime.cudaHostRegister(self._memory.data_ptr(), self._memory.nbytes, 0))
        self._seconds = time.perf_counter() - began_s
