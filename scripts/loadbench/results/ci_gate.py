"""A limit for continuous integration: `--fail-if-slower-than`."""

from __future__ import annotations

from dataclasses import dataclass

from loadbench.errors import UsageError
from loadbench.results.comparison.model import Comparison


@dataclass(frozen=True)
class Gate:
    """Whether `b` is too slow, and why."""

    failed: bool
    sentence: str


def check_limit(comparison: Comparison, limit: float) -> Gate:
    """Whether `b` took more than `limit` times as long as `a`.

    With an interval it fails when all of it lies above the limit, so that noise alone seldom does; with one
    run of each the figure decides. Nothing to compare fails too: a gate that cannot see does not open.
    Raises UsageError for a limit that is not above 0.
    """
    if not limit > 0:
        raise UsageError(
            f"the limit {limit:g} is not above 0", remedy="For example: --fail-if-slower-than 1.05"
        )
    estimate = comparison.estimate
    if estimate is None:
        return Gate(True, f"nothing to hold against the limit ×{limit:g}: {comparison.verdict.sentence}")
    slowdown = 1 / estimate.ratio
    if estimate.high is None or estimate.low is None:
        failed, basis = slowdown > limit, "one run of each, no interval"
    else:
        failed = 1 / estimate.high > limit
        basis = f"95 % {1 / estimate.high:.3f}–{1 / estimate.low:.3f}"
    took = f"{comparison.b.label} took ×{slowdown:.3f} of {comparison.a.label} ({basis})"
    return Gate(failed, f"{took}: {'slower than' if failed else 'within'} the limit ×{limit:g}")
