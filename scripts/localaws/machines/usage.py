"""Resource usage of copies and their machines, as CloudWatch metrics.

AWS's names in AWS's namespaces are what a real account shows, once a minute there; the counters in
`LocalAWS/Instances` are exact and grow from the machine's start.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..instance_types import machine_type
from .instance import Instance
from .processes import Usage

SAMPLE_INTERVAL_S = 1.0


class Measured(Protocol):
    """What is measured: a copy of a model on its instance."""

    @property
    def instance(self) -> Instance:
        """Its machine."""

    @property
    def inference_component(self) -> str | None:
        """Its inference component; None for a variant's copy."""

    @property
    def meter(self) -> Meter:
        """Its CPU meter."""

    @property
    def root(self) -> Path:
        """Its folder."""

    def usage(self) -> Usage:
        """What it has used."""

    def peak_memory_bytes(self) -> int:
        """The most memory that one of its processes held."""


def record(copy: Measured) -> None:
    """Write one sample of a copy, now."""
    instance = copy.instance
    emulator, place = instance.emulator, instance.place
    component = copy.inference_component
    now_s = time.time()
    used = copy.usage()
    machine = machine_type(place.instance_type)
    busy_percent = copy.meter.cpu_percent(used, now_s)
    percents = {
        "CPUUtilization": busy_percent,
        "MemoryUtilization": 100 * used.memory_bytes / machine.memory_bytes,
        "DiskUtilization": 100 * _folder_bytes(copy.root) / machine.disk_bytes,
    }
    counters: dict[str, tuple[float, str]] = {
        "CPUSeconds": (used.cpu_s, "Seconds"),
        "MemoryBytes": (used.memory_bytes, "Bytes"),
        "MemoryPeakBytes": (copy.peak_memory_bytes(), "Bytes"),
        "DiskReadBytes": (used.disk_read_bytes, "Bytes"),
        "DiskWriteBytes": (used.disk_write_bytes, "Bytes"),
        "NetworkReceiveBytes": (instance.received_bytes(), "Bytes"),
    }
    if component is None:
        namespace = "/aws/sagemaker/Endpoints"
        dimensions = {"EndpointName": place.endpoint, "VariantName": place.variant}
    else:
        namespace = "/aws/sagemaker/InferenceComponents"
        dimensions = {"InferenceComponentName": component}
    own = {"EndpointName": place.endpoint, "InstanceId": instance.id}
    if component is not None:
        own["InferenceComponentName"] = component
    with emulator.database.transaction():
        for name, percent in percents.items():
            emulator.metrics.put(place.region, namespace, name, dimensions, percent, "Percent", now_s)
        for name, (value, unit) in counters.items():
            emulator.metrics.put(place.region, "LocalAWS/Instances", name, own, value, unit, now_s)


@dataclass
class Meter:
    """Turns a growing counter of CPU seconds into a percentage; 100 is one core, as in CloudWatch."""

    _cpu_s: float = 0.0
    _at_s: float = field(default_factory=time.time)

    def cpu_percent(self, used: Usage, now_s: float) -> float:
        """Percent of one core since the last call."""
        elapsed_s = max(1e-3, now_s - self._at_s)
        percent = 100 * max(0.0, used.cpu_s - self._cpu_s) / elapsed_s
        self._cpu_s, self._at_s = used.cpu_s, now_s
        return percent


def _folder_bytes(folder: Path) -> int:
    total_bytes = 0
    for path in folder.rglob("*"):
        # Files come and go while a download runs.
        with contextlib.suppress(OSError):
            total_bytes += path.lstat().st_size
    return total_bytes
