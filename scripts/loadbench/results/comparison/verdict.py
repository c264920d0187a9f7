"""The verdict as text. Method: docs/method.md, rule 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from loadbench.load_paths import COMPARED_LOAD_PATHS, LOAD_PATHS
from loadbench.results import formatting
from loadbench.results.comparison.confounders import warm_against_cold
from loadbench.results.comparison.model import Side, Verdict, VerdictKind
from loadbench.results.run_summary import RunSummary
from loadbench.results.statistics import Estimate

USUAL_PAIRS = 5
_MOST_PAIRS = 40  # a difference that needs more is too small to wait for


def judge(a: Side, b: Side, estimate: Estimate | None, *, dependent: bool = False) -> Verdict:
    """Say whether `b` is faster or slower than `a`, or that the runs are inconclusive and how to settle it.

    Only an interval that excludes 1 is a claim; every other verdict begins with "Inconclusive". `dependent`:
    several runs are of one endpoint.
    """
    if not a.usable or not b.usable:
        missing = " and ".join(side.label for side in (a, b) if not side.usable)
        return Verdict(
            kind="incomplete",
            sentence=f"No run of {missing} succeeded: there is nothing to compare.",
            detail="The reasons are listed under the warnings.",
        )
    if layers := warm_against_cold(a.usable, b.usable):
        return _warm_and_cold(a, b, layers)
    if (estimate is None or estimate.low is None) and dependent:
        return _dependent(a, b)
    if estimate is None or estimate.low is None:
        return _too_few(a, b)
    runs = _runs(a, b, estimate)
    if not estimate.decides:
        return _spread_too_wide(a, b, estimate, runs)
    kind: VerdictKind = "faster" if estimate.ratio > 1 else "slower"
    figures = f"{formatting.times(estimate.ratio)} (95 % {formatting.interval(estimate)}, {runs})"
    return Verdict(
        kind=kind,
        settled=True,
        sentence=f"{b.label} is {kind}: {figures}",
        detail=_detail(estimate, runs),
    )


def _warm_and_cold(a: Side, b: Side, layers: Sequence[str]) -> Verdict:
    """Only figures: a difference between caches is not a difference between loading methods."""
    figures = _medians(a, b)
    names = " and ".join(name.removesuffix(" before the start") for name in layers)
    return Verdict(
        kind="figures_only",
        sentence=f"Inconclusive (one side started warm, the other cold): {formatting.COLD_START} {figures}.",
        detail=f"They differ in what was cached before the start: {names}. Compare runs that started alike.",
    )


def _dependent(a: Side, b: Side) -> Verdict:
    """Only figures: starts of one endpoint hardly tell more than one of them (docs/method.md, rule 2)."""
    return Verdict(
        kind="figures_only",
        sentence="Inconclusive (starts of one endpoint are not independent): "
        f"{formatting.COLD_START} {_medians(a, b)}.",
        detail="SageMaker keeps an endpoint's image for its later starts. "
        "Compare starts of at least two endpoints of each.",
    )


def _medians(a: Side, b: Side) -> str:
    return ", ".join(
        f"{side.label} {formatting.seconds(side.time_to_ready.median)}"
        for side in (a, b)
        if side.time_to_ready
    )


def _too_few(a: Side, b: Side) -> Verdict:
    """One run per side: seconds, and no ratio."""
    counts = sorted({len(a.usable), len(b.usable)})
    what = f"{counts[0]} run each" if counts == [1] else f"{len(a.usable)} and {len(b.usable)} runs"
    figures = _medians(a, b)
    command, minutes = _settling(a, b, USUAL_PAIRS)
    return Verdict(
        kind="figures_only",
        sentence=f"Inconclusive ({what}): {formatting.COLD_START} {figures}.",
        detail="One run of each method cannot tell a real difference from chance.",
        next_command=command,
        next_minutes=minutes,
    )


def _spread_too_wide(a: Side, b: Side, estimate: Estimate, runs: str) -> Verdict:
    command, minutes = _settling(a, b, _pairs_needed(estimate))
    return Verdict(
        kind="cannot_tell",
        sentence=f"Inconclusive ({runs}): the 95 % interval of the ratio, "
        f"{formatting.interval(estimate)}, includes 1.",
        detail=f"{_detectable(estimate, runs)}.",
        next_command=command,
        next_minutes=minutes,
    )


def _pairs_needed(estimate: Estimate) -> int:
    """Pairs needed to find a difference of the observed size with 80 % power: the error falls with
    the root.
    """
    seen, found = abs(math.log(estimate.ratio)), math.log(estimate.detectable_ratio or 1)
    needed = math.ceil(estimate.runs * (found / seen) ** 2) if seen else _MOST_PAIRS
    return min(max(needed, estimate.runs + 2, USUAL_PAIRS), _MOST_PAIRS)


def _settling(a: Side, b: Side, pairs: int) -> tuple[str, float | None]:
    """The command that gives these two sides an interval, and its minutes if earlier runs allow an
    estimate.
    """
    options = [f"PAIRS={pairs}"]
    paths = [side.path for side in (a, b)]
    if paths[0] != paths[1] and set(paths) <= set(LOAD_PATHS) and paths != list(COMPARED_LOAD_PATHS):
        options.append(f"PATHS={','.join(paths)}")
    newest = max((*a.runs, *b.runs), key=lambda run: run.started_s)
    options += [
        f"{variable}={value}"
        for name, variable in (("--config", "CONFIG"), ("--target", "TARGET"))
        if (value := _option(newest.command, name)) and value != "config.yaml"
    ]
    lengths = [_length_s(side.usable) for side in (a, b)]
    known = [length for length in lengths if length is not None]
    minutes = pairs * sum(known) / 60 if len(known) == len(lengths) else None
    return f"make compare {' '.join(options)}", minutes


def _option(command: Sequence[str], name: str) -> str | None:
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _length_s(runs: Sequence[RunSummary]) -> float | None:
    lengths = [run.duration_s for run in runs if run.duration_s is not None]
    return fmean(lengths) if lengths else None


def _runs(a: Side, b: Side, estimate: Estimate) -> str:
    if estimate.method == "paired":
        return f"{estimate.runs} pairs"
    return f"{len(a.usable)} and {len(b.usable)} runs, not pairs"


def _detail(estimate: Estimate, runs: str) -> str:
    parts = []
    if estimate.sign_flip_p is not None and estimate.smallest_sign_flip_p is not None:
        smallest = ", the smallest possible with so many pairs"
        at_end = estimate.sign_flip_p <= estimate.smallest_sign_flip_p * (1 + 1e-9)
        parts.append(
            "The interval decides; beside it an exact sign-flip test: "
            f"p = {estimate.sign_flip_p:.3g}{smallest if at_end else ''}"
        )
    return ". ".join([*parts, _detectable(estimate, runs)]) + "."


def _detectable(estimate: Estimate, runs: str) -> str:
    return (
        f"With this spread, {runs.removesuffix(', not pairs')} detect a ratio of "
        f"{formatting.times(estimate.detectable_ratio or 1)} or more with 80 % power"
    )
