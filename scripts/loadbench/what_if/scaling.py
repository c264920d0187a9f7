"""When a policy changes the number of copies, modelled on Application Auto Scaling. Pure computation.

Target tracking: after three consecutive periods with the metric above its target, it scales out to the
number of copies that the target needs; after fifteen below nine tenths of the target, it scales in
(docs/facts/sagemaker.md#application-auto-scaling). Step policies: an alarm on the same metric adds or
removes a fixed number of copies. A change starts only if none is in progress and the cooldown, counted from
the start of the last change, has passed. With zero copies, a request that finds no copy adds one.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

from pydantic import BaseModel, ConfigDict

OUT_PERIODS = 3
IN_PERIODS = 15
_LOW_SHARE = 0.9
SECONDS_PER_MINUTE = 60

Kind = Literal["none", "target-tracking", "step"]
Metric = Literal["invocations", "concurrency"]
PERIODS_S: dict[Metric, float] = {"invocations": 60.0, "concurrency": 10.0}


class Step(BaseModel):
    """Adds `change` copies at or above `value` of the metric; a negative change removes at or below it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    change: int


class Policy(BaseModel):
    """A scaling policy. Its metric is invocations per minute and copy, or concurrent requests per copy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    min_copies: int
    max_copies: int
    metric: Metric = "invocations"
    target_value: float = 1.0
    period_s: float = 60.0
    out_cooldown_s: float = 300.0
    in_cooldown_s: float = 300.0
    steps: tuple[Step, ...] = ()

    @property
    def words(self) -> str:
        """Human-readable description."""
        if self.kind == "none":
            return f"none, copies: {self.min_copies}"
        invocations = self.metric == "invocations"
        what = "requests per minute and copy" if invocations else "concurrent requests per copy"
        rule = (
            f"{self.target_value:g} {what}"
            if self.kind == "target-tracking"
            else ", ".join(f"{step.change:+d} at {step.value:g}" for step in self.steps) + f" {what}"
        )
        return f"{self.kind.replace('-', ' ')} ({rule}), {self.min_copies} to {self.max_copies} copies"


class Scaler:
    """The metric values since the last change, and the time of that change."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._values: deque[float] = deque(maxlen=IN_PERIODS)
        self._changed_s = -math.inf

    def wanted(self, now_s: float, copies: int, per_copy: float, failed: int, *, busy: bool) -> int:
        """The desired number of copies after the period that has just ended.

        `per_copy` is the period's metric, `failed` the number of requests that found no copy, `busy` whether
        a change is in progress.
        """
        policy = self._policy
        self._values.append(per_copy)
        if busy:
            return copies
        wanted = self._asked(copies, failed)
        wanted = min(max(wanted, policy.min_copies), policy.max_copies)
        cooldown_s = policy.out_cooldown_s if wanted > copies else policy.in_cooldown_s
        if wanted == copies or now_s - self._changed_s < cooldown_s:
            return copies
        self._changed_s = now_s
        self._values.clear()  # values per copy are not comparable after a change of the number of copies
        return wanted

    def _asked(self, copies: int, failed: int) -> int:
        if copies == 0:
            return 1 if failed else 0
        values = list(self._values)
        high = min(values[-OUT_PERIODS:]) if len(values) >= OUT_PERIODS else -math.inf
        low = max(values) if len(values) == IN_PERIODS else math.inf
        if self._policy.kind == "step":
            return copies + self._step(high, low)
        target = self._policy.target_value
        if high > target:
            return max(copies + 1, math.ceil(copies * values[-1] / target))
        if low < _LOW_SHARE * target:
            return min(copies, math.ceil(copies * low / target))
        return copies

    def _step(self, high: float, low: float) -> int:
        """The change of the most extreme step whose threshold is crossed, 0 if there is none."""
        up = [step for step in self._policy.steps if step.change > 0 and high >= step.value]
        down = [step for step in self._policy.steps if step.change < 0 and low <= step.value]
        if up:
            return max(up, key=lambda step: step.value).change
        return min(down, key=lambda step: step.value).change if down else 0
