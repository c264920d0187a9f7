"""Data of instance types: processors, memory, network, accelerators, quota, price.

The figures are in `data/instance_types.toml`, which the embedded AWS reads as well.
"""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from loadbench.errors import ConfigError
from loadbench.workspace import Workspace

PRICE_SOURCE = "Amazon SageMaker pricing page, real-time inference"


class InstanceType(BaseModel):
    """Figures of one type; network in Gbit/s at its burst, accelerator memory in MiB of each."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    vcpus: int = Field(gt=0)
    memory_gib: int = Field(gt=0)
    network_gbit_per_s: float = Field(gt=0)
    disk_gb: int = Field(ge=0)
    accelerators: int = Field(ge=0)
    accelerator_memory_mib: int = Field(ge=0)
    can_shard: bool
    quota_code: str | None = None
    usd_per_hour: float | None = Field(default=None, ge=0)
    price_date: str = "unknown"
    price_region: str = "not stated"

    @property
    def family(self) -> str:
        """The family in the name: g5 of ml.g5.2xlarge."""
        return self.name.split(".")[1]

    @property
    def memory_mib(self) -> int:
        """Memory of the instance."""
        return self.memory_gib * 1024


def data_file() -> Path:
    """The file with the figures."""
    return Workspace.here().assets / "data" / "instance_types.toml"


@cache
def instance_types() -> dict[str, InstanceType]:
    """All types of the table by name."""
    document = tomllib.loads(data_file().read_text(encoding="utf-8"))
    return {name: InstanceType(name=name, **figures) for name, figures in document.items()}


def sharding_families() -> list[str]:
    """The families for which the SDK allows sharding (ModelBuilder.optimize's own check)."""
    return list(dict.fromkeys(known.family for known in instance_types().values() if known.can_shard))


def instance_specification(name: str) -> InstanceType:
    """The figures of one type. Raises ConfigError if the table does not have it."""
    known = instance_types()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"unknown instance type {name}",
            remedy=f"{hint}Supported families: {', '.join(dict.fromkeys(i.family for i in known.values()))}.",
        )
    return known[name]
