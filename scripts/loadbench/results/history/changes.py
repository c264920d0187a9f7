"""Finds changes of level in a series of cold starts: a permutation test on normal scores.

The statistic of a split is the CUSUM of the ranks' normal scores (van der Waerden's: nearly as powerful as
means where noise is normal, and insensitive to one slow outlier), standardized by the lengths of both parts.
The largest over all splits is compared with that of 999 random orders of the same values, so no distribution
is assumed (Pettitt, Applied Statistics 28, 1979, with other scores). A significant split divides the
series, and each part is searched again (binary segmentation). If the whole series has none, its halves are
searched, because a slowdown that was reverted hardly affects a split of the whole.

False alarms: if nothing changes, a change is reported with probability 5 % at most: 4 % for the whole and 0.5
% for each half (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FALSE_ALARM_RATE = 0.05
FEWEST_RUNS = 10  # fewer have too few random orders for a useful test at that rate
SHORTEST_LEVEL = 4  # runs; a change is detected after this many at the earliest
_ORDERS = 999
_WHOLE, _PART = 0.04, 0.005  # shares of that rate: for the whole series, for a half or another part
_LONGEST = 500  # the newest runs are searched, to limit the search to seconds
_SEED = 20261126

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """The first run of a new level, and the p-value of the split."""

    index: int
    p: float


def find_changes(values: Sequence[float]) -> list[Split]:
    """All changes of level in values given in chronological order, oldest first."""
    first = max(0, len(values) - _LONGEST)
    found = _search(np.asarray(values[first:], dtype=float), first, _WHOLE)
    return sorted(found, key=lambda split: split.index)


def _search(values: Array, offset: int, rate: float) -> list[Split]:
    if len(values) < max(FEWEST_RUNS, 2 * SHORTEST_LEVEL):
        return []
    found = _first_split(values, rate)
    if found is None:
        return []
    return [
        Split(found.index + offset, found.p),
        *_search(values[: found.index], offset, _PART),
        *_search(values[found.index :], offset + found.index, _PART),
    ]


def _first_split(values: Array, rate: float) -> Split | None:
    whole, middle = _best_split(values), len(values) // 2
    if whole.p <= rate:
        return whole
    for start, half in ((middle, values[middle:]), (0, values[:middle])):
        if len(half) >= FEWEST_RUNS and (found := _best_split(half)).p <= _PART:
            return Split(found.index + start, found.p)
    return None


def _best_split(values: Array) -> Split:
    count = len(values)
    scores = _normal_scores(values)
    observed = _statistics(scores[None, :])[0]
    generator = np.random.default_rng([_SEED, count])
    orders = generator.permuted(np.tile(scores, (_ORDERS, 1)), axis=1)
    largest = _statistics(orders).max(axis=1)
    p = (1 + int(np.sum(largest >= observed.max() - 1e-12))) / (_ORDERS + 1)
    return Split(int(observed.argmax()) + SHORTEST_LEVEL, p)


def _statistics(scores: Array) -> Array:
    """|CUSUM| of the scores, per row, at every split that leaves both levels long enough."""
    count = scores.shape[1]
    splits = np.arange(SHORTEST_LEVEL, count - SHORTEST_LEVEL + 1)
    sums = np.cumsum(scores, axis=1)[:, splits - 1]
    statistics: Array = np.abs(sums) / np.sqrt(splits * (count - splits) / count)
    return statistics


def _normal_scores(values: Array) -> Array:
    """Normal quantiles of the ranks, with mean 0; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    quantiles = np.array([NormalDist().inv_cdf(rank / (len(values) + 1)) for rank in ranks])
    scores: Array = quantiles[inverse] - quantiles[inverse].mean()
    return scores


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the median from order statistics; None for fewer than six values.

    Exact for any continuous distribution: Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2.
    """
    ordered, count = sorted(values), len(values)
    below, depth = 0.0, 0
    for smaller in range(count // 2):
        below += math.comb(count, smaller) / 2**count
        if below > 0.025:
            break
        depth = smaller + 1
    return (ordered[depth - 1], ordered[count - depth]) if depth else None
