"""Memory with a file descriptor that several processes can map, and its limits."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from pathlib import Path

from fastload.errors import DoesNotFitError
from fastload.memory import address_of

# Not defined by Python's mmap module (linux/mman.h, Linux 5.14).
MADV_POPULATE_READ = 22
MADV_POPULATE_WRITE = 23
# Memory reserved for the engine while the weights are in memory.
_SPARE_BYTES = 512 << 20
_LIBC = ctypes.CDLL(None)


def create(size_bytes: int) -> int:
    """A descriptor of `size_bytes` of zeroed memory. Raises DoesNotFitError if there is not enough."""
    free_bytes = available_bytes()
    if size_bytes + _SPARE_BYTES > free_bytes:
        raise DoesNotFitError(
            f"the weights are {size_bytes / 1e9:.2f} GB, but only {free_bytes / 1e9:.2f} GB of memory is free"
            f" ({_SPARE_BYTES / 1e9:.1f} GB is reserved for the engine); use a machine with more memory."
        )
    flags = os.MFD_CLOEXEC
    page_bytes = _free_huge_pages(size_bytes)
    if page_bytes:
        flags |= os.MFD_HUGETLB
        size_bytes = -(-size_bytes // page_bytes) * page_bytes
    descriptor = os.memfd_create("fastload-weights", flags)
    os.ftruncate(descriptor, max(size_bytes, 1))
    return descriptor


def map_writable(descriptor: int) -> mmap.mmap:
    """The prefetching process's shared mapping; all processes see its writes."""
    mapping = mmap.mmap(descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    _prefer_huge_pages(mapping)
    return mapping


def map_for_worker(descriptor: int, *, private: bool) -> mmap.mmap:
    """A worker's mapping. If private, its writes are copy-on-write."""
    flags = mmap.MAP_PRIVATE if private else mmap.MAP_SHARED
    mapping = mmap.mmap(descriptor, 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)
    _prefer_huge_pages(mapping)
    return mapping


def populate(mapping: mmap.mmap, advice: int, start_bytes: int, stop_bytes: int) -> None:
    """Populate pages in one call instead of one fault per page; does nothing if the kernel is too old.

    The call is made through ctypes, because `mmap.madvise` keeps the interpreter's lock: no other connection
    could read in the milliseconds that the pages of one piece take.
    """
    start = start_bytes // mmap.PAGESIZE * mmap.PAGESIZE
    length = min(stop_bytes, len(mapping)) - start
    _LIBC.madvise(ctypes.c_void_p(address_of(mapping) + start), ctypes.c_size_t(length), advice)


def available_bytes() -> int:
    """Available memory of the machine, limited by this process's control group."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free_bytes = int(fields["MemAvailable"].split()[0]) * 1024
    for limit, used, statistics in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        group = Path("/sys/fs/cgroup")
        try:
            most_bytes = int((group / limit).read_text())
            used_bytes = int((group / used).read_text())
            pairs = (line.split() for line in (group / statistics).read_text().splitlines())
            droppable_bytes = {name: int(value) for name, value in pairs}.get("inactive_file", 0)
        except (OSError, ValueError):  # no control groups, or no limit ("max")
            continue
        free_bytes = min(free_bytes, most_bytes - used_bytes + droppable_bytes)
    return free_bytes


def _free_huge_pages(size_bytes: int) -> int:
    """The size of a reserved huge page if enough of them are free, otherwise 0."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    page_bytes = int(fields.get("Hugepagesize", "0 kB").split()[0]) * 1024
    free = int(fields.get("HugePages_Free", "0")) - int(fields.get("HugePages_Rsvd", "0"))
    return page_bytes if page_bytes and free * page_bytes >= size_bytes else 0


def _prefer_huge_pages(mapping: mmap.mmap) -> None:
    with contextlib.suppress(OSError):  # unknown to this kernel: only slower
        mapping.madvise(mmap.MADV_HUGEPAGE)
