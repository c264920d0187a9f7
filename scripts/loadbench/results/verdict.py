"""The result in words. Method: docs/method.md, rule 4."""

from __future__ import annotations

from loadbench.results.comparison_model import Side, Verdict
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
            sentence=f"{b.label} took {b.time_to_ready.median:,.1f} s to be in service, {a.label} "
            f"{a.time_to_ready.median:,.1f} s: {times(estimate.ratio)}.",
            detail="Figures and no verdict: one run of each cannot show the spread. "
            "make compare PAIRS=5 gives an interval.",
        )
    if not estimate.decides:
        return Verdict(
            kind="cannot_tell",
            sentence=f"Cannot tell whether {b.label} is faster or slower: {_figures(estimate)}",
            detail=f"{_detectable(estimate)}. More pairs see smaller differences.",
        )
    if estimate.ratio > 1:
        return Verdict(
            kind="faster", sentence=f"{b.label} is faster, {_figures(estimate)}", detail=_detail(estimate)
        )
    return Verdict(
        kind="slower",
        sentence=f"{b.label} is slower, it takes {_figures(_inverted(estimate))} as long",
        detail=_detail(estimate),
    )


def times(ratio: float) -> str:
    """A ratio as people write it: ×1.31."""
    return f"×{ratio:.2f}" if ratio < 10 else f"×{ratio:.1f}"


def _figures(estimate: Estimate) -> str:
    low, high = estimate.low or 0.0, estimate.high or 0.0
    what = "pairs" if estimate.method == "paired" else "runs of each or more, not pairs"
    return f"{times(estimate.ratio)} (95 % {low:.2f}–{high:.2f}, {estimate.runs} {what})"


def _detail(estimate: Estimate) -> str:
    parts = []
    if estimate.sign_flip_p is not None and estimate.smallest_sign_flip_p is not None:
        smallest = ", the smallest that so many pairs can give"
        at_end = estimate.sign_flip_p <= estimate.smallest_sign_flip_p * (1 + 1e-9)
        parts.append(f"Exact sign-flip test: p = {estimate.sign_flip_p:.3g}{smallest if at_end else ''}")
    return ". ".join([*parts, _detectable(estimate)]) + "."


def _detectable(estimate: Estimate) -> str:
    runs = "pairs" if estimate.method == "paired" else "runs of each"
    return (
        f"With this spread, {estimate.runs} {runs} find a difference of "
        f"{times(estimate.detectable_ratio or 1)} or more four times in five"
    )


def _inverted(estimate: Estimate) -> Estimate:
    return estimate.model_copy(
        update={
            "ratio": 1 / estimate.ratio,
            "low": 1 / estimate.high if estimate.high else None,
            "high": 1 / estimate.low if estimate.low else None,
        }
    )
