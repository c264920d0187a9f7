"""How busy this machine was: starts on the embedded AWS share its processors with other work.

Each record says by how much its container took longer than its kind usually does; whatever else of that start
is bound by processors took longer by as much. Records within minutes of each other agree, so a kernel over
time gives the pace at a moment, and how little is known of it far from any record. On AWS an instance is its
own, and there is no pace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance

PACED = frozenset(
    {
        "container_start_s",
        "engine_warmup_scale",
        "disk_intake_bytes_per_s",
        "stream_bytes_per_s",
        "weights_to_host_bytes_per_s",
        "weights_to_device_bytes_per_s",
    }
)
_MEMORY_S = 150.0  # a record this far away in time has the weight 1/e
_OWN_NOISE = 0.5  # variance of a single start around the pace, relative to the variance of the pace


@dataclass(frozen=True)
class Pace:
    """Logarithms of how much longer than usual starts took, by time."""

    points: tuple[tuple[float, float], ...] = ()

    def at(self, at_s: float | None) -> tuple[float, float]:
        """Expected logarithm of one start at a moment, and its standard deviation."""
        if len(self.points) < 2:
            return 0.0, 0.0
        slow_variance = pvariance([value for _, value in self.points]) / (1 + _OWN_NOISE)
        if at_s is None:
            return 0.0, math.sqrt(slow_variance * (1 + _OWN_NOISE))
        weights = [math.exp(-abs(at_s - point_s) / _MEMORY_S) for point_s, _ in self.points]
        total = sum(weights) + _OWN_NOISE
        centre = sum(weight * value for weight, (_, value) in zip(weights, self.points, strict=True)) / total
        return centre, math.sqrt(slow_variance * (_OWN_NOISE / total + _OWN_NOISE))


def sign_of(coefficient: str) -> float:
    """The sign with which a pace affects a coefficient: seconds grow, rates shrink, most are unaffected."""
    return 0.0 if coefficient not in PACED else -1.0 if coefficient.endswith("_bytes_per_s") else 1.0


def pace_of(times_s: Sequence[float], groups: Sequence[str], logs: Sequence[float]) -> Pace:
    """The pace from each start's logarithm of the container's seconds, compared within its group."""
    by_group: dict[str, list[float]] = {}
    for group, value in zip(groups, logs, strict=True):
        by_group.setdefault(group, []).append(value)
    usual: Mapping[str, float] = {group: fmean(values) for group, values in by_group.items()}
    return Pace(
        tuple((at_s, value - usual[group]) for at_s, group, value in zip(times_s, groups, logs, strict=True))
    )
