"""When a policy changes the number of copies, as Application Auto Scaling does. Pure functions of figures.

Target tracking: the metric above its target in three periods in a row scales out to what the target needs;
below nine tenths of it in fifteen, it scales in (docs/facts/sagemaker.md#application-auto-scaling). Steps: an
alarm on the same metric adds or takes away a fixed number. No change begins while another one is under way,
nor before the cooldown since the last one began. From zero copies, a request that found none adds one.
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
    """So many copies more from this value of the metric on; fewer (a negative change) up to this value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    change: int


class Policy(BaseModel):
    """A scaling policy. `invocations`: requests a copy and minute; `concurrency`: those at a copy at once."""

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
        """What it does, for people."""
        if self.kind == "none":
            return f"always {self.min_copies} copies"
        what = "requests a minute and copy" if self.metric == "invocations" else "requests at a copy at once"
        rule = (
            f"{self.target_value:g} {what}"
            if self.kind == "target-tracking"
            else ", ".join(f"{step.change:+d} at {step.value:g}" for step in self.steps) + f" {what}"
        )
        return f"{self.kind.replace('-', ' ')} ({rule}), {self.min_copies} to {self.max_copies} copies"


class Scaler:
    """What a policy has seen since its last change, and when that was."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._values: deque[float] = deque(maxlen=IN_PERIODS)
        self._changed_s = -math.inf

    def wanted(self, now_s: float, copies: int, per_copy: float, failed: int, *, busy: bool) -> int:
        """How many copies there are to be after a period that has just ended.

        `per_copy` is its metric, `failed` the requests that found no copy, `busy` a change that is under way.
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
        self._values.clear()  # figures per copy say nothing of another number of copies
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
        """The change of the furthest step that the metric has passed, 0 for none."""
        up = [step for step in self._policy.steps if step.change > 0 and high >= step.value]
        down = [step for step in self._policy.steps if step.change < 0 and low <= step.value]
        if up:
            return max(up, key=lambda step: step.value).change
        return min(down, key=lambda step: step.value).change if down else 0
