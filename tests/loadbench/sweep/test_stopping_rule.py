"""The rule decides what is clear, leaves open what is not, and its error rates hold in simulated sweeps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from loadbench.results.sweep.stopping_rule import Rule, judge

RULE = Rule(least_rounds=3, most_rounds=6, smallest_ratio=1.05)


def test_nothing_is_decided_before_the_least_rounds() -> None:
    assert judge([], 7, RULE).kind == "open"
    assert judge([0.5], 7, RULE).ratio == pytest.approx(math.exp(0.5))
    assert judge([0.5, 0.5], 7, RULE).kind == "open"
    assert judge([0.5, 0.5001, 0.4999], 7, RULE).kind == "faster"


def test_the_sign_says_which_is_faster() -> None:
    assert judge([-0.5, -0.501, -0.499, -0.5], 1, RULE).kind == "slower"
    assert judge([0.001, -0.001, 0.0005, 0.0], 1, RULE).kind == "same"


def test_more_comparisons_need_more_evidence() -> None:
    values = [0.20, 0.22, 0.21, 0.19]
    assert judge(values, 1, RULE).kind == "faster"
    assert judge(values, 100_000, RULE).kind == "open"


def test_an_open_cell_says_how_many_rounds_it_needs() -> None:
    noisy = judge([0.3, -0.2, 0.25], 3, RULE)
    noisier = judge([0.6, -0.5, 0.25], 3, RULE)
    assert noisy.kind == noisier.kind == "open"
    assert noisy.more_rounds is not None and noisier.more_rounds is not None
    assert 1 <= noisy.more_rounds <= noisier.more_rounds


@pytest.mark.parametrize(("ratio", "noise"), [(1.0, 0.08), (1.1, 0.03), (1.5, 0.08)])
def test_intervals_cover_and_verdicts_are_seldom_false(ratio: float, noise: float) -> None:
    """1200 cells stopped by the rule. Bounds are four standard errors beyond 95 % +/- 2 and 5 %."""
    generator, truth, sweeps = np.random.default_rng(1), math.log(ratio), 400
    covered = false = 0
    for _ in range(sweeps):
        control = generator.normal(0, noise, (6, 2)).mean(axis=1)
        wrong = False
        for _ in range(3):
            values = (control + truth - generator.normal(0, noise, 6)).tolist()
            verdict = next(
                (found for n in range(3, 6) if (found := judge(values[:n], 3, RULE)).kind != "open"),
                judge(values, 3, RULE),
            )
            assert verdict.low is not None and verdict.high is not None
            covered += math.log(verdict.low) <= truth <= math.log(verdict.high)
            wrong |= verdict.kind == "slower" or (verdict.kind == "faster" and ratio == 1.0)
        false += wrong
    error = math.sqrt(0.05 * 0.95 / (3 * sweeps))
    assert 0.93 - 4 * error <= covered / (3 * sweeps) <= 0.97 + 4 * error
    assert false / sweeps <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / sweeps)
