"""Host memory with few page faults: one private mapping, aligned and advised for huge pages."""

from __future__ import annotations

import mmap
import os

from fastload.errors import StreamError

_HUGE_PAGE_BYTES = 2 << 20


def allocate(size_bytes: int) -> memoryview:
    """Writable, zero, page-aligned memory of `size_bytes` (at least 1). Pages are only taken as they are
    written. Raises StreamError for more than this machine has.
    """
    have_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size_bytes > have_bytes:
        raise StreamError(
            f"{size_bytes / 1e9:.1f} GB are to be loaded, and this machine has {have_bytes / 1e9:.1f} GB of "
            "memory; use a larger one, or a higher tensor-parallel degree."
        )
    # A 4 KiB page costs a fault per 4 KiB; a huge page costs one per 2 MiB, if it lies on a 2 MiB boundary.
    # Since Linux 6.7 the kernel places mappings of that size so by itself; the slack makes older ones work.
    mapping = mmap.mmap(-1, size_bytes + _HUGE_PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapping.madvise(mmap.MADV_HUGEPAGE)
    start = -address_of(mapping) % _HUGE_PAGE_BYTES
    return memoryview(mapping)[start : start + size_bytes]


def address_of(buffer: mmap.mmap | memoryview) -> int:
    """Where a writable buffer begins in this process."""
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
