"""The count of instances or copies that a policy requests, from measurements. Pure functions.

Target tracking follows Application Auto Scaling's own alarms: more than the target in three periods in a row
scales out to what the target needs; less than nine tenths of it in fifteen periods scales in. Steps
apply to an alarm's metric minus its threshold (docs/facts/sagemaker.md#application-auto-scaling).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

HIGH_PERIODS = 3
LOW_PERIODS = 15
_LOW_SHARE = 0.9


def tracked(values: Sequence[float], current: int, target: float, *, scale_in: bool = True) -> int | None:
    """The count that keeps a metric per copy at its target; None if there is no alarm.

    `values` are the metric's values per copy and period, newest last.
    """
    high, low = values[-HIGH_PERIODS:], values[-LOW_PERIODS:]
    if len(high) == HIGH_PERIODS and min(high) > target and current > 0:
        return max(current + 1, math.ceil(current * high[-1] / target))
    if scale_in and len(low) == LOW_PERIODS and max(low) < _LOW_SHARE * target and current > 0:
        wanted = math.ceil(current * max(low) / target)
        return wanted if wanted < current else None
    return None


def stepped(current: int, breach: float, configuration: Mapping[str, Any]) -> int | None:
    """The count after a step policy's alarm. `breach` is the metric minus the alarm's threshold."""
    for step in configuration.get("StepAdjustments", ()):
        lower = step.get("MetricIntervalLowerBound", -math.inf)
        upper = step.get("MetricIntervalUpperBound", math.inf)
        if lower <= breach < upper:
            return _adjusted(current, step["ScalingAdjustment"], configuration)
    return None


def _adjusted(current: int, adjustment: int, configuration: Mapping[str, Any]) -> int:
    kind = configuration.get("AdjustmentType", "ChangeInCapacity")
    if kind == "ExactCapacity":
        return adjustment
    if kind == "ChangeInCapacity":
        return current + adjustment
    change = current * adjustment / 100
    least = configuration.get("MinAdjustmentMagnitude", 1)
    return current + round(math.copysign(max(abs(change), least), change))
