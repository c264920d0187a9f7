"""Shrinkage from published to own values: how measurements update a coefficient.

A coefficient is log-normal. Its logarithm has the conjugate normal-inverse-gamma prior (Gelman et al.,
Bayesian Data Analysis, 3rd ed., section 3.3), once between groups and once from run to run within a group:

    published range -> mean of groups -> mean of this group -> next run

so a group without a measurement gets what other groups had, widened by how much groups differ, and the first
measurement of a group moves its value most. The prediction for the next run is a Student t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

_PRIOR_FREEDOM = 6.0  # weight of the assumed spread, in measurements
NORMAL_90 = 1.6449  # half a 90 % interval in standard deviations


@dataclass(frozen=True)
class Belief:
    """A Student t of the logarithm: location, scale and number of measurements."""

    centre: float
    scale: float
    freedom: float
    count: int = 0


@dataclass(frozen=True)
class Spread:
    """Standard deviations of logarithms: between groups, and from run to run within one."""

    between: float
    within: float


def published(median: float, low: float, high: float) -> Belief:
    """A published value, with a range that contains nine values in ten, as a prior of its logarithm."""
    scale = (math.log(high) - math.log(low)) / (2 * NORMAL_90)
    return Belief(math.log(median), max(scale, 1e-6), freedom=30.0)


def next_value(prior: Belief, spread: float, logs: Sequence[float]) -> Belief:
    """The distribution of the next measurement after `logs`, with run-to-run deviation of about `spread`."""
    count = len(logs)
    weight = spread**2 / prior.scale**2  # weight of the prior's mean, in measurements
    total = weight + count
    mean = fmean(logs) if logs else prior.centre
    squares = (
        _PRIOR_FREEDOM * spread**2
        + sum((value - mean) ** 2 for value in logs)
        + weight * count / total * (mean - prior.centre) ** 2
    )
    freedom = _PRIOR_FREEDOM + count
    return Belief(
        centre=(weight * prior.centre + count * mean) / total,
        scale=math.sqrt(squares / freedom * (1 + 1 / total)),
        freedom=freedom,
        count=count,
    )


def of_group(prior: Belief, spread: Spread, groups: Mapping[str, Sequence[float]], group: str) -> Belief:
    """The distribution of the next measurement in `group`, from its own logarithms and the means of other
    groups.
    """
    if not any(groups.values()):
        return prior
    others = [fmean(logs) for name, logs in groups.items() if name != group and logs]
    expected = next_value(prior, spread.between, others) if others else prior
    return next_value(expected, spread.within, groups.get(group, ()))
