"""Is one loading method faster than the other? Ratio, interval, exact test, and power of so few runs.

Method: docs/method.md, rules 3 to 5. Without dependencies: comparing must work without scipy.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from statistics import fmean, median, stdev
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

CONFIDENCE = 0.95
POWER = 0.80
PERCENTILES_FROM = 10  # samples; fewer cannot hold a 90th percentile (rule 5)
_OUTLIERS_FROM = 5
_ENUMERABLE_PAIRS = 36  # 2^36 sign patterns, by meet-in-the-middle 2 * 2^18

Method = Literal["single", "paired", "welch"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(_Model):
    """How many times as long `a` takes as `b`: above 1, `b` is the faster one."""

    method: Method = Field(
        description="single: one run of each, figures only; paired: t on differences of logs; "
        "welch: t on logs of two sets that were not run as pairs"
    )
    ratio: float = Field(description="geometric mean of a over geometric mean of b")
    low: float | None = Field(default=None, description="lower end of the 95 % interval of the ratio")
    high: float | None = Field(default=None, description="upper end of the 95 % interval of the ratio")
    runs: int = Field(description="pairs, or runs of the smaller set when they were not pairs")
    sign_flip_p: float | None = Field(default=None, description="exact two-sided p, paired runs only")
    smallest_sign_flip_p: float | None = Field(
        default=None, description="the smallest p that this many pairs can give"
    )
    detectable_ratio: float | None = Field(
        default=None, description="smallest true ratio above 1 that would be detected with 80 % power"
    )

    @property
    def decides(self) -> bool:
        """Whether the interval excludes 1."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


class Summary(_Model):
    """A summary of raw samples that assumes no distribution."""

    count: int
    median: float
    min: float
    max: float
    mean: float
    p90: float | None = Field(default=None, description=f"from {PERCENTILES_FROM} samples")


def paired_ratio(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Ratio of geometric means of pairs (a[i], b[i]), all above 0, with a paired t interval on the logs.

    Source: docs/method.md, rule 3; Fleming & Wallace, CACM 29(3), 1986, on why ratios take geometric means.
    Raises ValueError if the lengths differ, there are no values, or a value is not above 0.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"pairs need the same number of values on both sides, got {len(a)} and {len(b)}")
    differences = [x - y for x, y in zip(_logs(a), _logs(b), strict=True)]
    count, centre = len(differences), fmean(differences)
    if count == 1:
        return Estimate(method="single", ratio=math.exp(centre), runs=1)
    return _with_interval(
        "paired",
        centre,
        standard_error=stdev(differences) / math.sqrt(count),
        freedom=count - 1,
        runs=count,
        sign_flip_p=sign_flip_p(differences),
        smallest_sign_flip_p=2 / 2**count,
    )


def unpaired_ratio(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Ratio of geometric means of two sets that were not run as pairs, with Welch's t interval on the logs.

    Source: Welch, Biometrika 34, 1947. With fewer than two runs on a side there is a ratio without an
    interval. Raises ValueError when a side is empty or a value is not above 0.
    """
    if not a or not b:
        raise ValueError("both sides need at least one value")
    logs_a, logs_b = _logs(a), _logs(b)
    centre = fmean(logs_a) - fmean(logs_b)
    runs = min(len(a), len(b))
    if runs == 1:
        return Estimate(method="single", ratio=math.exp(centre), runs=1)
    variance_a, variance_b = stdev(logs_a) ** 2 / len(a), stdev(logs_b) ** 2 / len(b)
    variance = variance_a + variance_b
    # Without any spread the degrees of freedom are 0/0; any value gives the same interval of no width.
    freedom = (
        variance**2 / (variance_a**2 / (len(a) - 1) + variance_b**2 / (len(b) - 1)) if variance > 0 else runs
    )
    return _with_interval("welch", centre, standard_error=math.sqrt(variance), freedom=freedom, runs=runs)


def paired_difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of b[i] - a[i], in the unit of the values; None with one pair.

    Used for the break-even point, because seconds saved add up and ratios do not, and for phases that are 0
    in some run.
    """
    differences = [y - x for x, y in zip(a, b, strict=True)]
    if len(differences) < 2:
        return None
    half = t_quantile((1 + CONFIDENCE) / 2, len(differences) - 1)
    half *= stdev(differences) / math.sqrt(len(differences))
    return fmean(differences) - half, fmean(differences) + half


def _with_interval(
    method: Method,
    centre: float,
    *,
    standard_error: float,
    freedom: float,
    runs: int,
    sign_flip_p: float | None = None,
    smallest_sign_flip_p: float | None = None,
) -> Estimate:
    quantile = t_quantile((1 + CONFIDENCE) / 2, freedom)
    # Two-sided level 5 %, power 80 %: the usual sum of two t quantiles (Cohen 1988, ch. 2, with t for z).
    detectable = (quantile + t_quantile(POWER, freedom)) * standard_error
    return Estimate(
        method=method,
        ratio=math.exp(centre),
        low=math.exp(centre - quantile * standard_error),
        high=math.exp(centre + quantile * standard_error),
        runs=runs,
        sign_flip_p=sign_flip_p,
        smallest_sign_flip_p=smallest_sign_flip_p,
        detectable_ratio=math.exp(detectable),
    )


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Exact two-sided p of the sum under random signs: the share of the 2^n patterns at least as extreme.

    Source: Fisher, The Design of Experiments, 1935, section 21. None beyond 36 pairs: there the t interval
    is reliable alone. Cost: n 2^(n/2), because the sums of two halves are combined (meet in the middle).
    """
    count = len(differences)
    if count == 0 or count > _ENUMERABLE_PAIRS:
        return None
    sizes = [abs(value) for value in differences]
    # Equal sums may differ in their last bits, depending on the order of addition; they count as equal.
    threshold = abs(sum(differences)) - 1e-12 * sum(sizes)
    left, right = _signed_sums(sizes[: count // 2]), sorted(_signed_sums(sizes[count // 2 :]))
    if threshold <= 0:
        return 1.0
    extreme: int = sum(
        len(right) - bisect_left(right, threshold - value) + bisect_right(right, -threshold - value)
        for value in left
    )
    return extreme / float(2**count)


def _signed_sums(values: Sequence[float]) -> list[float]:
    sums = [0.0]
    for value in values:
        sums = [total + signed for total in sums for signed in (value, -value)]
    return sums


def summarize(samples: Sequence[float]) -> Summary | None:
    """Median, extremes and, from ten samples on, the 90th percentile; None without samples."""
    if not samples:
        return None
    ordered = sorted(samples)
    return Summary(
        count=len(ordered),
        median=median(ordered),
        min=ordered[0],
        max=ordered[-1],
        mean=fmean(ordered),
        p90=_percentile(ordered, 0.9) if len(ordered) >= PERCENTILES_FROM else None,
    )


def outliers(samples: Sequence[float]) -> list[bool]:
    """Indexes of outliers: modified z-score above 3.5. They are labelled, never dropped.

    Source: Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993. With fewer than five samples there
    are none.
    """
    if len(samples) < _OUTLIERS_FROM:
        return [False] * len(samples)
    centre = median(samples)
    spread = median(abs(value - centre) for value in samples)
    if spread == 0:
        return [False] * len(samples)
    return [0.6745 * abs(value - centre) / spread > 3.5 for value in samples]


@cache
def t_quantile(probability: float, freedom: float) -> float:
    """Student's t quantile by bisection of its distribution function; accurate to about 1e-10."""
    if not 0 < probability < 1 or freedom <= 0:
        raise ValueError("needs a probability between 0 and 1 and degrees of freedom above 0")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while _t_distribution(high, freedom) < probability:
        low, high = high, high * 2
    while high - low > 1e-12 * max(1.0, high):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _t_distribution(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _t_distribution(value: float, freedom: float) -> float:
    """P(T <= value) for value >= 0 (DLMF 8.17 through the regularized incomplete beta function)."""
    return 1 - _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + value * value)) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularized I_x(a, b), by the continued fraction DLMF 8.17.22 in Lentz's form."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1 - _incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 500):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + factor * d, tiny)
            c = _away_from_zero(1 + factor / c, tiny)
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return math.exp(log_front) * fraction / a


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between the closest ranks (type 7 of Hyndman & Fan, 1996; numpy's default)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _logs(values: Sequence[float]) -> list[float]:
    if any(not value > 0 or math.isinf(value) for value in values):
        raise ValueError("ratios need finite values above 0")
    return [math.log(value) for value in values]
