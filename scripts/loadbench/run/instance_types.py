"""What an instance type is: processors, memory, network, accelerators."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from loadbench.errors import ConfigError

# The families for which the SDK allows sharding (docs/facts/sagemaker.md#sharding-rules).
SHARDING_FAMILIES = ("p4d", "p4de", "p5", "g5", "g6")

_A10G_MIB = 22888
_L4_MIB = 22888
_A100_40_MIB = 40960
_A100_80_MIB = 81920
_H100_MIB = 81559


@dataclass(frozen=True)
class InstanceType:
    """Figures of one type; memory and accelerator memory in MiB, network in Gbit/s at its burst."""

    name: str
    vcpus: int
    memory_mib: int
    network_gbit_per_s: float
    accelerators: int
    accelerator_memory_mib: int

    @property
    def family(self) -> str:
        """The middle of the name: g5 of ml.g5.2xlarge."""
        return self.name.split(".")[1]


def _table(*rows: tuple[str, int, int, float, int, int]) -> dict[str, InstanceType]:
    return {
        name: InstanceType(name, vcpus, memory_gib * 1024, network, accelerators, accelerator_mib)
        for name, vcpus, memory_gib, network, accelerators, accelerator_mib in rows
    }


# docs/facts/sagemaker.md#instance-figures.
# Name, vCPUs, GiB, Gbit/s, accelerators, MiB of each.
INSTANCE_TYPES = _table(
    ("ml.g5.xlarge", 4, 16, 10, 1, _A10G_MIB),
    ("ml.g5.2xlarge", 8, 32, 10, 1, _A10G_MIB),
    ("ml.g5.4xlarge", 16, 64, 25, 1, _A10G_MIB),
    ("ml.g5.8xlarge", 32, 128, 25, 1, _A10G_MIB),
    ("ml.g5.12xlarge", 48, 192, 40, 4, _A10G_MIB),
    ("ml.g5.16xlarge", 64, 256, 25, 1, _A10G_MIB),
    ("ml.g5.24xlarge", 96, 384, 50, 4, _A10G_MIB),
    ("ml.g5.48xlarge", 192, 768, 100, 8, _A10G_MIB),
    ("ml.g6.xlarge", 4, 16, 10, 1, _L4_MIB),
    ("ml.g6.2xlarge", 8, 32, 10, 1, _L4_MIB),
    ("ml.g6.4xlarge", 16, 64, 25, 1, _L4_MIB),
    ("ml.g6.8xlarge", 32, 128, 25, 1, _L4_MIB),
    ("ml.g6.12xlarge", 48, 192, 40, 4, _L4_MIB),
    ("ml.g6.16xlarge", 64, 256, 25, 1, _L4_MIB),
    ("ml.g6.24xlarge", 96, 384, 50, 4, _L4_MIB),
    ("ml.g6.48xlarge", 192, 768, 100, 8, _L4_MIB),
    ("ml.p4d.24xlarge", 96, 1152, 400, 8, _A100_40_MIB),
    ("ml.p4de.24xlarge", 96, 1152, 400, 8, _A100_80_MIB),
    ("ml.p5.48xlarge", 192, 2048, 3200, 8, _H100_MIB),
)


def instance_specification(name: str) -> InstanceType:
    """The figures of one type; ConfigError when the table does not have it."""
    if name not in INSTANCE_TYPES:
        near = difflib.get_close_matches(name, INSTANCE_TYPES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"unknown instance type {name}",
            remedy=f"{hint}Supported families: {', '.join(SHARDING_FAMILIES)}.",
        )
    return INSTANCE_TYPES[name]
