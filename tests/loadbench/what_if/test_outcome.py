"""Figures of simulated days, and the smallest minimum of copies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadbench.what_if.distributions import from_values, parse_distribution
from loadbench.what_if.outcome import Loading, Scenario, find_min_copies, meets_target, play
from loadbench.what_if.scaling import Policy
from loadbench.what_if.simulation import Serving
from loadbench.what_if.traffic import bursts, constant

ALWAYS = Policy(kind="none", min_copies=1, max_copies=12)
REQUEST = from_values([4.0])


def scenario(policy: Policy = ALWAYS, repeats: int = 2) -> Scenario:
    traffic = bursts(0.1, 1.0, 300.0, 1200.0, 2400.0)
    return Scenario(traffic, "poisson", Serving(REQUEST, timeout_s=60.0), policy, 5, repeats)


def loading(cold_start_s: float = 100.0, usd: float | None = 1.5) -> Loading:
    return Loading("standard", from_values([cold_start_s]), REQUEST, usd)


def test_every_method_meets_the_same_requests() -> None:
    (slow, slow_trace), (fast, fast_trace) = (play(scenario(), loading(seconds)) for seconds in (500.0, 10.0))
    assert slow_trace.arrivals_s.tolist() == fast_trace.arrivals_s.tolist()
    assert slow.requests_per_day == fast.requests_per_day


def test_a_shorter_cold_start_lets_fewer_requests_fail() -> None:
    policy = Policy(kind="target-tracking", min_copies=1, max_copies=6, target_value=10, period_s=20)
    slow, fast = (play(scenario(policy), loading(seconds))[0] for seconds in (500.0, 10.0))
    assert fast.failed_per_day < slow.failed_per_day
    assert fast.load_path == "standard"


def test_copies_are_paid_for_by_the_hour() -> None:
    outcome, _ = play(scenario(replace_min(3)), loading())
    assert outcome.usd_per_day is not None
    assert outcome.usd_per_day.value == pytest.approx(3 * 24 * 1.5)
    assert play(scenario(), loading(usd=None))[0].usd_per_day is None


def replace_min(count: int) -> Policy:
    return ALWAYS.model_copy(update={"min_copies": count})


def test_a_failed_request_counts_as_one_that_waits_for_ever() -> None:
    """One copy cannot answer a request a second of 4 s: the 99th percentile fails, the median need not."""
    outcome, trace = play(scenario(repeats=1), loading())
    failed = (trace.timed_out + trace.without_copy) / len(trace.waits_s)
    assert failed > 0.01
    assert outcome.wait_s["p99"].value is None
    assert not meets_target(outcome, 1e9)


@pytest.mark.parametrize("target_s", [0.0, 0.5, 5.0, 30.0])
def test_the_smallest_minimum_is_what_trying_all_finds(target_s: float) -> None:
    needed = find_min_copies(scenario(), loading(), target_s)
    tried = [
        count
        for count in range(1, 13)
        if meets_target(play(scenario(replace_min(count)), loading())[0], target_s)
    ]
    assert needed.outcome is not None
    assert needed.outcome.min_copies == min(tried)


def test_no_number_of_copies_is_said_to_be_none() -> None:
    few = Policy(kind="none", min_copies=1, max_copies=2)
    assert find_min_copies(scenario(few), loading(), 0.1).outcome is None


def test_no_traffic_waits_for_nothing() -> None:
    quiet = replace(scenario(), traffic=constant(0.0, 600.0))
    outcome, _ = play(quiet, loading())
    assert outcome.wait_s["p99"].value == 0.0
    assert outcome.requests_per_day.value == 0.0


def test_repeats_give_an_interval_and_one_does_not() -> None:
    request = parse_distribution("exponential:4")
    varied = replace(loading(), request=request)
    several = play(scenario(replace_min(6), repeats=4), varied)[0].mean_wait_s
    assert several.low is not None and several.high is not None and several.value is not None
    assert several.low < several.value < several.high
    assert play(scenario(replace_min(6), repeats=1), varied)[0].mean_wait_s.low is None
