"""Limits of this computer: checks memory, disk and processes before a copy starts.

A real account has as many machines as its quotas allow. Here all of them share one computer; a start that
exceeds its resources fails like one without capacity on AWS, before anything runs.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from .errors import LocalAwsError

_MIB = 1 << 20
# A model server without its weights: interpreter, torch, transformers (measured: 420 MiB with a tiny model).
_SERVER_BYTES = 500 * _MIB
_SERVER_THREADS = 64
# Reserved for everything else on this computer.
_SPARE_MEMORY = 0.05
_SPARE_DISK = 0.02
_SPARE_PROCESSES = 0.1
_CGROUP = Path("/sys/fs/cgroup")


class CapacityError(LocalAwsError):
    """This computer lacks the resources; the text says which."""


@dataclass(frozen=True)
class Need:
    """Resources of this computer that a copy needs, as far as known before its start."""

    memory_bytes: int = 0
    disk_bytes: int = 0
    threads: int = 0

    def times(self, count: int) -> Need:
        """The need of that many copies."""
        return Need(self.memory_bytes * count, self.disk_bytes * count, self.threads * count)

    def plus(self, other: Need) -> Need:
        """Both together."""
        return Need(
            self.memory_bytes + other.memory_bytes,
            self.disk_bytes + other.disk_bytes,
            self.threads + other.threads,
        )


@dataclass(frozen=True)
class Free:
    """Free resources, measured."""

    memory_bytes: int
    memory_total_bytes: int
    disk_bytes: int
    disk_total_bytes: int
    threads: int
    threads_total: int


def copy_need(weights_bytes: int, on_disk: bool) -> Need:
    """The need of one copy of a model; its weights are in memory once, and in its folder unless streamed."""
    return Need(_SERVER_BYTES + weights_bytes, weights_bytes if on_disk else 0, _SERVER_THREADS)


class HostGuard:
    """Admits starts while resources are free. Starting copies count with their full need, running
    ones are measured.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starting = Need()

    def measure(self) -> Free:
        """Free resources now, by the limits of this process's control group if there is one."""
        memory = psutil.virtual_memory()
        free_bytes, total_bytes = memory.available, memory.total
        limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
        if limit is not None and used is not None and limit < total_bytes:
            free_bytes, total_bytes = min(free_bytes, max(0, limit - used)), limit
        disk = psutil.disk_usage(str(self._folder))
        free_threads, threads = _threads()
        return Free(free_bytes, total_bytes, disk.free, disk.total, free_threads, threads)

    @contextlib.contextmanager
    def starting(self, need: Need) -> Iterator[None]:
        """Reserve the need during a start. Raises CapacityError if there is not enough."""
        self.check(need)
        self._starting = self._starting.plus(need)
        try:
            yield
        finally:
            self._starting = self._starting.plus(need.times(-1))

    def check(self, need: Need) -> None:
        """Raise CapacityError if there is not enough for this and for the starts in progress."""
        free = self.measure()
        wanted = self._starting.plus(need)
        rows = (
            ("memory", wanted.memory_bytes, free.memory_bytes, free.memory_total_bytes, _SPARE_MEMORY),
            ("disk space", wanted.disk_bytes, free.disk_bytes, free.disk_total_bytes, _SPARE_DISK),
        )
        for name, asked, left, total, spare in rows:
            if asked and asked > left - spare * total:
                raise CapacityError(
                    f"this computer has {_gib(left)} of {_gib(total)} {name} free, and about {_gib(asked)} "
                    "would be needed"
                )
        if wanted.threads and wanted.threads > free.threads - _SPARE_PROCESSES * free.threads_total:
            raise CapacityError(
                f"this computer allows {free.threads} more processes and threads, and about {wanted.threads} "
                "would be needed"
            )

    def report(self) -> dict[str, dict[str, int]]:
        """Used and total resources, for `localaws status`."""
        free = self.measure()
        return {
            "memory_bytes": {
                "used": free.memory_total_bytes - free.memory_bytes,
                "total": free.memory_total_bytes,
            },
            "disk_bytes": {"used": free.disk_total_bytes - free.disk_bytes, "total": free.disk_total_bytes},
            "processes_and_threads": {
                "used": free.threads_total - free.threads,
                "total": free.threads_total,
            },
        }


def _threads() -> tuple[int, int]:
    """(free, limit) of processes and threads: the group's, the user's or the system's, whichever is lower."""
    limits: list[tuple[int, int]] = []
    most, now = _number(_CGROUP / "pids.max"), _number(_CGROUP / "pids.current")
    if most is not None and now is not None:
        limits.append((most - now, most))
    system, used = _number(Path("/proc/sys/kernel/threads-max")), _running_threads()
    pid_max = _number(Path("/proc/sys/kernel/pid_max"))
    for limit in (system, pid_max):
        if limit is not None:
            limits.append((limit - used, limit))
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY and os.geteuid() != 0:  # the system does not hold root to it
        limits.append((soft - used, soft))
    return min(limits, default=(1 << 20, 1 << 20))


def _running_threads() -> int:
    """Threads on this computer now, by the fourth field of /proc/loadavg; processes where there is none."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return len(psutil.pids())


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _gib(size_bytes: int) -> str:
    return f"{max(0, size_bytes) / (1 << 30):.1f} GiB"
