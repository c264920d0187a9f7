"""Data of instance types: cores, memory, disk, network and accelerators.

The figures are in `data/instance_types.toml`, which the benchmark reads as well.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

# A symbolic link in a checkout, a regular file in a wheel.
_FILE = Path(__file__).with_name("instance_types.toml")


@dataclass(frozen=True)
class MachineType:
    """Figures of one type; the network at its burst, None where it is not known."""

    vcpus: int
    memory_bytes: int
    disk_bytes: int
    gpus: int
    network_bytes_per_s: float | None = None


@cache
def known_types() -> dict[str, MachineType]:
    """Every type in the data file, by its name."""
    document = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {
        name: MachineType(
            vcpus=figures["vcpus"],
            memory_bytes=figures["memory_gib"] << 30,
            disk_bytes=figures["disk_gb"] * 10**9,
            gpus=figures["accelerators"],
            network_bytes_per_s=figures["network_gbit_per_s"] * 1e9 / 8,
        )
        for name, figures in document.items()
    }


def machine_type(name: str) -> MachineType:
    """The type's figures; for an unknown type those of this computer, and eight accelerators."""
    known = known_types().get(name)
    if known is not None:
        return known
    disk_bytes = psutil.disk_usage("/").total
    return MachineType(psutil.cpu_count() or 1, psutil.virtual_memory().total, disk_bytes, 8)
