"""How busy this machine was: starts on the embedded AWS share its processors with whatever else runs.

Each record says by how much its container took longer than its kind usually does. Records within minutes of
each other agree, so a kernel over time gives the pace at a moment, and how little is known of it far from any
record. On AWS an instance is its own, and there is no pace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

# Bound by processors, so that a busy machine slows them down.
PACED = frozenset(
    {
        "container_start_s",
        "engine_warmup_scale",
        "weights_to_host_bytes_per_s",
        "weights_to_device_bytes_per_s",
    }
)
_RATES = frozenset(name for name in PACED if name.endswith("_bytes_per_s"))
_MEMORY_S = 600.0  # a record this long ago counts 1/e of one at the same time
_OWN_NOISE = 0.5  # variance of a single start around the pace, over the variance of the pace itself


@dataclass(frozen=True)
class Pace:
    """Logarithms of how much longer than usual starts took, by when they were."""

    points: tuple[tuple[float, float], ...] = ()

    def at(self, at_s: float | None, without: int | None = None) -> tuple[float, float]:
        """Expected logarithm at a moment and its standard deviation; `without` leaves one point out."""
        others = [point for index, point in enumerate(self.points) if index != without]
        if len(others) < 2:
            return 0.0, 0.0
        spread = pstdev(value for _, value in others)
        if at_s is None:
            return 0.0, spread
        weights = [math.exp(-abs(at_s - point_s) / _MEMORY_S) for point_s, _ in others]
        total = sum(weights) + _OWN_NOISE
        centre = sum(weight * value for weight, (_, value) in zip(weights, others, strict=True)) / total
        return centre, spread * math.sqrt(_OWN_NOISE / total)


def sign_of(coefficient: str) -> float:
    """How a pace moves a coefficient: seconds grow with it, rates shrink, and most do not depend on it."""
    return 0.0 if coefficient not in PACED else -1.0 if coefficient in _RATES else 1.0


def pace_of(times_s: Sequence[float], groups: Sequence[str], logs: Sequence[float]) -> Pace:
    """The pace from each start's logarithm of the container's seconds, compared within its group."""
    by_group: dict[str, list[float]] = {}
    for group, value in zip(groups, logs, strict=True):
        by_group.setdefault(group, []).append(value)
    usual: Mapping[str, float] = {group: fmean(values) for group, values in by_group.items()}
    return Pace(
        tuple((at_s, value - usual[group]) for at_s, group, value in zip(times_s, groups, logs, strict=True))
    )
