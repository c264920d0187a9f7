"""The result in words. Method: docs/method.md, rule 4."""

from __future__ import annotations

from loadbench.results import formatting
from loadbench.results.comparison.model import Side, Verdict
from loadbench.results.statistics import Estimate


def judge(a: Side, b: Side, estimate: Estimate | None) -> Verdict:
    """Say whether `b` is faster or slower than `a`, or that so few runs cannot tell."""
    if estimate is None or a.time_to_ready is None or b.time_to_ready is None:
        missing = " and ".join(side.label for side in (a, b) if side.time_to_ready is None)
        return Verdict(
            kind="incomplete",
            sentence=f"No run of {missing} succeeded: there is nothing to compare.",
            detail="The reasons stand under the warnings; mend them and run it again.",
        )
    if estimate.low is None or estimate.high is None:
        return Verdict(
            kind="figures_only",
            sentence=f"{b.label} took {formatting.seconds(b.time_to_ready.median)} to be in service, "
            f"{a.label} "
            f"{formatting.seconds(a.time_to_ready.median)}: {formatting.times(estimate.ratio)}.",
            detail="Figures and no verdict: one run cannot show the spread. "
            "make compare PAIRS=5 gives an interval.",
        )
    runs = _runs(a, b, estimate)
    if not estimate.decides:
        return Verdict(
            kind="cannot_tell",
            sentence=f"Cannot tell whether {b.label} is faster or slower: {_figures(estimate, runs)}",
            detail=f"{_detectable(estimate, runs)}. More pairs see smaller differences.",
        )
    if estimate.ratio > 1:
        sentence = f"{b.label} is faster, {_figures(estimate, runs)}"
        return Verdict(kind="faster", sentence=sentence, detail=_detail(estimate, runs))
    sentence = f"{b.label} is slower, it takes {_figures(_inverted(estimate), runs)} as long"
    return Verdict(kind="slower", sentence=sentence, detail=_detail(estimate, runs))


def _runs(a: Side, b: Side, estimate: Estimate) -> str:
    if estimate.method == "paired":
        return f"{estimate.runs} pairs"
    return f"{len(a.usable)} and {len(b.usable)} runs, not pairs"


def _figures(estimate: Estimate, runs: str) -> str:
    return f"{formatting.times(estimate.ratio)} (95 % {formatting.interval(estimate)}, {runs})"


def _detail(estimate: Estimate, runs: str) -> str:
    parts = []
    if estimate.sign_flip_p is not None and estimate.smallest_sign_flip_p is not None:
        smallest = ", the smallest that so many pairs can give"
        at_end = estimate.sign_flip_p <= estimate.smallest_sign_flip_p * (1 + 1e-9)
        parts.append(f"Exact sign-flip test: p = {estimate.sign_flip_p:.3g}{smallest if at_end else ''}")
    return ". ".join([*parts, _detectable(estimate, runs)]) + "."


def _detectable(estimate: Estimate, runs: str) -> str:
    return (
        f"With this spread, {runs.removesuffix(', not pairs')} find a difference of "
        f"{formatting.times(estimate.detectable_ratio or 1)} or more four times in five"
    )


def _inverted(estimate: Estimate) -> Estimate:
    return estimate.model_copy(
        update={
            "ratio": 1 / estimate.ratio,
            "low": 1 / estimate.high if estimate.high else None,
            "high": 1 / estimate.low if estimate.low else None,
        }
    )
