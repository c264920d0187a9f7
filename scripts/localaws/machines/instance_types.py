"""What the instance types are made of (docs/facts/sagemaker.md#instance-figures)."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

_GIB = 1 << 30


@dataclass(frozen=True)
class MachineType:
    """Cores, memory, disk and accelerators of one instance type."""

    vcpus: int
    memory_bytes: int
    disk_bytes: int
    gpus: int


def _g5(vcpus: int, memory_gib: int, disk_gb: int, gpus: int) -> MachineType:
    return MachineType(vcpus, memory_gib * _GIB, disk_gb * 10**9, gpus)


_TYPES = {
    "ml.g5.xlarge": _g5(4, 16, 250, 1),
    "ml.g5.2xlarge": _g5(8, 32, 450, 1),
    "ml.g5.4xlarge": _g5(16, 64, 600, 1),
    "ml.g5.8xlarge": _g5(32, 128, 900, 1),
    "ml.g5.12xlarge": _g5(48, 192, 3800, 4),
    "ml.g5.16xlarge": _g5(64, 256, 1900, 1),
    "ml.g5.24xlarge": _g5(96, 384, 3800, 4),
    "ml.g5.48xlarge": _g5(192, 768, 7600, 8),
}


def machine_type(name: str) -> MachineType:
    """The type's figures; for a type not in the facts, those of this computer, and eight accelerators."""
    known = _TYPES.get(name)
    if known is not None:
        return known
    disk_bytes = psutil.disk_usage("/").total
    return MachineType(psutil.cpu_count() or 1, psutil.virtual_memory().total, disk_bytes, 8)
