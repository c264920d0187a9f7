"""Where a series of cold starts changes its level: a permutation test on ranks, split by split.

The statistic of a split is the CUSUM of ranks, standardized (Pettitt, Applied Statistics 28, 1979, with the
weights of a two-sample test); the largest over all splits is compared with that of 999 random orders of the
same values, so no distribution is assumed, and one slow outlier is a rank like another. A split that is found
divides the series, and each part is searched again (binary segmentation). Where the whole has none, its
halves are searched: a slowdown that was taken back hardly moves a single split of the whole.

False alarms: where nothing changes, a series is reported to change with probability 3 % at most: 2 % for the
whole and 0.5 % for each half (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FALSE_ALARM_RATE = 0.03
FEWEST_RUNS = 10  # fewer have too few orders for that rate to be of use
SHORTEST_LEVEL = 4  # runs; the newest change is seen after so many
_ORDERS = 999
_WHOLE, _HALF = 0.02, 0.005  # of that rate
_LONGEST = 500  # newest runs that are searched, so that a long history takes seconds
_SEED = 20261126

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """The first run of a new level, and how probable such a split is in a random order."""

    index: int
    p: float


def find_changes(values: Sequence[float]) -> list[Split]:
    """Every change of level in values in the order of time, the oldest first."""
    first = max(0, len(values) - _LONGEST)
    return sorted(_search(np.asarray(values[first:], dtype=float), first), key=lambda split: split.index)


def _search(values: Array, offset: int) -> list[Split]:
    if len(values) < max(FEWEST_RUNS, 2 * SHORTEST_LEVEL):
        return []
    found = _first_split(values)
    if found is None:
        return []
    return [
        Split(found.index + offset, found.p),
        *_search(values[: found.index], offset),
        *_search(values[found.index :], offset + found.index),
    ]


def _first_split(values: Array) -> Split | None:
    whole, middle = _best_split(values), len(values) // 2
    if whole.p <= _WHOLE:
        return whole
    for start, half in ((middle, values[middle:]), (0, values[:middle])):
        if len(half) >= FEWEST_RUNS and (found := _best_split(half)).p <= _HALF:
            return Split(found.index + start, found.p)
    return None


def _best_split(values: Array) -> Split:
    count = len(values)
    ranks = _mid_ranks(values)
    observed = _statistics(ranks[None, :])[0]
    generator = np.random.default_rng([_SEED, count])
    orders = generator.permuted(np.tile(ranks, (_ORDERS, 1)), axis=1)
    largest = _statistics(orders).max(axis=1)
    p = (1 + int(np.sum(largest >= observed.max() - 1e-12))) / (_ORDERS + 1)
    return Split(int(observed.argmax()) + SHORTEST_LEVEL, p)


def _statistics(ranks: Array) -> Array:
    """|CUSUM| of centred ranks at every split that leaves both levels long enough, by row."""
    count = ranks.shape[1]
    splits = np.arange(SHORTEST_LEVEL, count - SHORTEST_LEVEL + 1)
    sums = np.cumsum(ranks - (count + 1) / 2, axis=1)[:, splits - 1]
    statistics: Array = np.abs(sums) / np.sqrt(splits * (count - splits) / count)
    return statistics


def _mid_ranks(values: Array) -> Array:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the median from order statistics, None below six values.

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
