"""Results of simulations: waiting, failures, copies and cost; the smallest number of warm copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from loadbench.results.statistics import CONFIDENCE, t_quantile
from loadbench.what_if.distributions import Distribution, Seconds
from loadbench.what_if.scaling import Policy
from loadbench.what_if.simulation import Serving, Trace, simulate
from loadbench.what_if.traffic import Arrivals, Traffic

SECONDS_PER_DAY = 86_400
_WAITED_S = 0.001
SHARES = (0.5, 0.9, 0.95, 0.99)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Model):
    """A mean over the repeats with its 95 % interval; `value` is None if requests of that rank fail."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Outcome(_Model):
    """The result of one loading method. A failed request counts as an infinite wait."""

    load_path: str
    cold_start: Distribution
    request: Distribution
    min_copies: int
    requests_per_day: Figure
    timed_out_per_day: Figure
    without_copy_per_day: Figure
    waited_share: Figure = Field(
        description="share of requests that waited at least one millisecond or failed"
    )
    mean_wait_s: Figure = Field(description="mean wait of answered requests")
    wait_s: dict[str, Figure] = Field(description="p50, p90, p95 and p99, by nearest rank")
    mean_copies: Figure = Field(description="copies paid for: in service, starting or stopping")
    most_copies: int
    cold_starts_per_day: Figure
    usd_per_day: Figure | None = Field(description="null if no price is known")

    @property
    def failed_per_day(self) -> float:
        """Requests per day that were not answered."""
        return (self.timed_out_per_day.value or 0.0) + (self.without_copy_per_day.value or 0.0)


class Needed(_Model):
    """The smallest minimum number of copies whose p99 wait is within the target; None if there is none."""

    load_path: str
    target_p99_wait_s: float
    outcome: Outcome | None


@dataclass(frozen=True)
class Scenario:
    """What all loading methods of a simulation share."""

    traffic: Traffic
    arrivals: Arrivals
    serving: Serving
    policy: Policy
    seed: int
    repeats: int


@dataclass(frozen=True)
class Loading:
    """One loading method: its cold starts, its response times and the price of its instance."""

    load_path: str
    cold_start: Distribution
    request: Distribution
    usd_per_hour: float | None


Day = tuple[Outcome, Trace]


def play(scenario: Scenario, loading: Loading) -> Day:
    """Simulate every repeat of a scenario with one loading method; keeps the first trace for the chart.

    The same seed gives every method the same arrivals. Raises ValueError if no request arrives.
    """
    traces = []
    serving = replace(scenario.serving, request=loading.request)
    for number in range(scenario.repeats):
        generator = np.random.default_rng([scenario.seed, number])
        arrivals_s = scenario.traffic.times(generator, scenario.arrivals)
        seed = scenario.seed * 1_000_003 + number
        traces.append(
            simulate(
                arrivals_s, serving, loading.cold_start, scenario.policy, scenario.traffic.duration_s, seed
            )
        )
    return _outcome(scenario, loading, traces), traces[0]


def find_min_copies(
    scenario: Scenario,
    loading: Loading,
    target_p99_wait_s: float,
    meets: Callable[[Outcome], bool] | None = None,
) -> Needed:
    """Find the smallest minimum number of copies that meets the target, by bisection on the same seeds.

    Bisection assumes that more copies never increase waiting.
    """
    meets = meets or (lambda outcome: meets_target(outcome, target_p99_wait_s))

    def outcome_of(count: int) -> Outcome:
        policy = scenario.policy.model_copy(update={"min_copies": count})
        return play(replace(scenario, policy=policy), loading)[0]

    low, high = 0, scenario.policy.max_copies  # the answer is above `low`, and at most `high` if there is one
    best = outcome_of(high)
    if not meets(best):
        return Needed(load_path=loading.load_path, target_p99_wait_s=target_p99_wait_s, outcome=None)
    while high - low > 1:
        middle = (low + high) // 2
        tried = outcome_of(middle)
        if meets(tried):
            high, best = middle, tried
        else:
            low = middle
    return Needed(load_path=loading.load_path, target_p99_wait_s=target_p99_wait_s, outcome=best)


def meets_target(outcome: Outcome, target_p99_wait_s: float) -> bool:
    """Whether the p99 wait is within the target; failed requests count as infinite waits."""
    value = outcome.wait_s["p99"].value
    return value is not None and value <= target_p99_wait_s


def _outcome(scenario: Scenario, loading: Loading, traces: Sequence[Trace]) -> Outcome:
    days = scenario.traffic.duration_s / SECONDS_PER_DAY
    sorted_s = [np.sort(trace.waits_s) for trace in traces]
    copy_hours = [trace.copy_seconds / 3600 for trace in traces]
    price = loading.usd_per_hour
    return Outcome(
        load_path=loading.load_path,
        cold_start=loading.cold_start,
        request=loading.request,
        min_copies=scenario.policy.min_copies,
        requests_per_day=_figure([len(waits_s) / days for waits_s in sorted_s]),
        timed_out_per_day=_figure([trace.timed_out / days for trace in traces]),
        without_copy_per_day=_figure([trace.without_copy / days for trace in traces]),
        waited_share=_figure(
            [float(np.mean(waits_s >= _WAITED_S)) for waits_s in sorted_s if len(waits_s)] or [0.0]
        ),
        mean_wait_s=_figure([_mean_of_answered(waits_s) for waits_s in sorted_s]),
        wait_s={
            f"p{share * 100:.0f}": _figure([_at_rank(waits_s, share) for waits_s in sorted_s])
            for share in SHARES
        },
        mean_copies=_figure([hours * 3600 / scenario.traffic.duration_s for hours in copy_hours]),
        most_copies=max(ready for trace in traces for _, ready, _ in trace.counts),
        cold_starts_per_day=_figure([trace.cold_starts / days for trace in traces]),
        usd_per_day=None if price is None else _figure([hours * price / days for hours in copy_hours]),
    )


def _at_rank(sorted_s: Seconds, share: float) -> float:
    """The percentile by nearest rank; 0 if there are no values."""
    return float(sorted_s[math.ceil(share * len(sorted_s)) - 1]) if len(sorted_s) else 0.0


def _mean_of_answered(sorted_s: Seconds) -> float:
    answered = sorted_s[: np.searchsorted(sorted_s, math.inf)]
    return float(np.mean(answered)) if len(answered) else (math.inf if len(sorted_s) else 0.0)


def _figure(values: Sequence[float]) -> Figure:
    if not all(math.isfinite(value) for value in values):
        return Figure(value=None)
    centre = fmean(values)
    if len(values) < 2:
        return Figure(value=centre)
    half = t_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Figure(value=centre, low=centre - half, high=centre + half)
