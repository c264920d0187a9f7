"""Error rates of the rule that ends a sweep early: python -m tests.benchmarks.bench_sweep_rule [SWEEPS]

Simulated sweeps with log-normal noise, all cells against one control, stopped by the rule of
loadbench.results.sweep.rule. False: a verdict that says faster or slower where the cell is not, or the same
where the ratio is at least the smallest that matters.
"""

from __future__ import annotations

import math
import sys

import numpy as np

from loadbench.results.sweep.stopping_rule import Rule, Verdict, judge


def is_false(verdict: Verdict, log_ratio: float, rule: Rule) -> bool:
    """Whether a verdict is wrong about a cell of this true ratio."""
    if verdict.kind == "same":
        return abs(log_ratio) >= math.log(rule.smallest_ratio)
    return (verdict.kind == "faster" and log_ratio <= 0) or (verdict.kind == "slower" and log_ratio >= 0)


def sweep(generator: np.random.Generator, log_ratios: list[float], noise: float, rule: Rule) -> list[Verdict]:
    """One sweep: a verdict a cell, as soon as there is one. The control is run twice a round."""
    control = generator.normal(0, noise, (rule.most_rounds, 2)).mean(axis=1)
    found = []
    for log_ratio in log_ratios:
        differences = control + log_ratio - generator.normal(0, noise, rule.most_rounds)
        verdict = judge([], len(log_ratios), rule)
        for count in range(rule.least_rounds, rule.most_rounds + 1):
            verdict = judge(differences[:count].tolist(), len(log_ratios), rule)
            if verdict.kind != "open":
                break
        found.append(verdict)
    return found


def rates(
    log_ratios: list[float], noise: float, rule: Rule, sweeps: int
) -> tuple[float, float, float, float]:
    """Coverage of the interval, sweeps with a false verdict, cells decided, rounds used."""
    generator = np.random.default_rng(0)
    covered = decided = rounds = false = 0
    for _ in range(sweeps):
        verdicts = sweep(generator, log_ratios, noise, rule)
        pairs = list(zip(verdicts, log_ratios, strict=True))
        false += any(is_false(verdict, log_ratio, rule) for verdict, log_ratio in pairs)
        covered += sum(
            verdict.low is not None and verdict.high is not None
            and math.log(verdict.low) <= log_ratio <= math.log(verdict.high)
            for verdict, log_ratio in pairs
        )  # fmt: skip
        decided += sum(verdict.kind != "open" for verdict in verdicts)
        rounds += sum(verdict.rounds for verdict in verdicts)
    cells = sweeps * len(log_ratios)
    return covered / cells, false / sweeps, decided / cells, rounds / cells


def main(sweeps: int) -> None:
    """The table of docs/sweep.md."""
    print("| true ratios | noise | rounds | covered | sweeps with a false verdict | decided | rounds used |")
    print("|---|---|---|---|---|---|---|")
    for ratios in (
        [1.0] * 3,
        [1.0] * 7,
        [1.03] * 3,
        [1.05] * 7,
        [1.1] * 3,
        [1.2] * 3,
        [1.5] * 7,
        [1.0, 1.1, 1.5],
    ):
        for noise in (0.03, 0.08):
            for rule in (Rule(), Rule(most_rounds=10)):
                values = rates([math.log(ratio) for ratio in ratios], noise, rule, sweeps)
                names = (
                    f"{len(ratios)} x {ratios[0]:g}" if len(set(ratios)) == 1 else ", ".join(map(str, ratios))
                )
                coverage, false, decided, used = values
                print(f"| {names} | {noise:.0%} | {rule.least_rounds}-{rule.most_rounds} | {coverage:.1%} "
                      f"| {false:.1%} | {decided:.0%} | {used:.1f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
