"""The rule that decides when a cell needs no further runs, fixed before the first run (docs/sweep.md).

After every round a cell is compared with the control of its model by the paired differences of the logs of
their times. It is decided if an interval at the level 1 - 5 % / (comparisons x looks) excludes 1, or is
within the smallest ratio that matters. By Bonferroni's inequality at most one sweep in twenty has a false
verdict, regardless of the number of cells and of how early they stop (Dunn, JASA 56, 1961; for looks:
Jennison & Turnbull, Group Sequential Methods, 2000). The level of the reported t interval is set so that it
contains the true ratio in 95 % of the sweeps that stop by this rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from loadbench.results.statistics import t_quantile

FALSE_VERDICTS = 0.05
POWER = 0.80

VerdictKind = Literal["faster", "slower", "same", "open"]
# Early stopping favours extreme estimates and estimates close to 1. At these levels the reported interval
# contains the true ratio in 93 to 97 % of simulated sweeps: tests/benchmarks/bench_sweep_rule.py.
SHOWN_LEVELS: dict[VerdictKind, float] = {"faster": 0.96, "slower": 0.96, "same": 0.985, "open": 0.955}


class Rule(BaseModel):
    """The parameters of the rule, fixed before the first run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least_rounds: int = Field(default=3, ge=3, le=100)
    most_rounds: int = Field(default=6, ge=3, le=100)
    smallest_ratio: float = Field(
        default=1.05, gt=1, le=10, description="a difference below this ratio does not matter"
    )

    @property
    def looks(self) -> int:
        """The maximum number of times that a cell is judged."""
        return self.most_rounds - self.least_rounds + 1


class Verdict(BaseModel):
    """The comparison of a cell with its control; a `ratio` above 1 means that the cell is faster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: VerdictKind
    rounds: int
    ratio: float | None = None
    low: float | None = Field(default=None, description="95 % interval of the ratio")
    high: float | None = None
    more_rounds: int | None = Field(
        default=None, description="rounds that would decide an open cell with a power of 80 %"
    )


def judge(log_ratios: Sequence[float], comparisons: int, rule: Rule) -> Verdict:
    """The verdict after the rounds so far; `log_ratios` has ln(control / cell) of each round."""
    count = len(log_ratios)
    if count == 0:
        return Verdict(kind="open", rounds=0)
    centre = fmean(log_ratios)
    if count < 2:
        return Verdict(kind="open", rounds=count, ratio=math.exp(centre))
    error = stdev(log_ratios) / math.sqrt(count)
    level = 1 - FALSE_VERDICTS / (comparisons * rule.looks)
    sure = t_quantile((1 + level) / 2, count - 1) * error
    kind: VerdictKind = "open"
    if count >= rule.least_rounds:
        margin = math.log(rule.smallest_ratio)
        if -margin < centre - sure and centre + sure < margin:
            kind = "same"
        elif centre - sure > 0:
            kind = "faster"
        elif centre + sure < 0:
            kind = "slower"
    shown = t_quantile((1 + SHOWN_LEVELS[kind]) / 2, count - 1) * error
    return Verdict(
        kind=kind,
        rounds=count,
        ratio=math.exp(centre),
        low=math.exp(centre - shown),
        high=math.exp(centre + shown),
        more_rounds=None
        if kind != "open"
        else _more_rounds(centre, error * math.sqrt(count), count, level, rule),
    )


def _more_rounds(centre: float, spread: float, count: int, level: float, rule: Rule) -> int:
    """Rounds until an effect of the observed size, or the smallest that matters, is decided (power 80 %)."""
    effect = max(abs(centre), math.log(rule.smallest_ratio))
    for total in range(max(count, rule.least_rounds), 1000):
        needed = t_quantile((1 + level) / 2, total - 1) + t_quantile(POWER, total - 1)
        if needed * spread / math.sqrt(total) <= effect:
            return max(1, total - count)
    return 1000 - count
