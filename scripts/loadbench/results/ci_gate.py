"""The limit for continuous integration: `--fail-if-slower-than`."""

from __future__ import annotations

from dataclasses import dataclass

from loadbench.errors import UsageError
from loadbench.results import formatting
from loadbench.results.comparison.model import Comparison


@dataclass(frozen=True)
class Gate:
    """Whether `b` is too slow, and why."""

    failed: bool
    sentence: str


def check_limit(comparison: Comparison, limit: float) -> Gate:
    """Whether `b` takes more than `limit` times as long as `a`: their ratio a/b is below 1/limit.

    It fails only if the whole interval is below the limit, so that noise alone seldom fails it. Raises
    UsageError for a limit that is not above 0, and for sides without an interval: one run of each proves
    nothing.
    """
    if not limit > 0:
        raise UsageError(
            f"the limit {limit:g} is not above 0", remedy="For example: --fail-if-slower-than 1.05"
        )
    estimate = comparison.estimate
    if estimate is None:
        if comparison.verdict.kind == "incomplete":
            return Gate(True, comparison.verdict.sentence)
        raise UsageError(
            f"--fail-if-slower-than needs an interval. {comparison.verdict.sentence}",
            remedy="Compare two runs or more of each: --pairs 5, with a comparison as the --baseline.",
        )
    lowest = 1 / limit
    failed = (estimate.high or 0) < lowest
    ratio = f"{comparison.a.label} ÷ {comparison.b.label} {formatting.times(estimate.ratio)}"
    return Gate(
        failed,
        f"{ratio} (95 % {formatting.interval(estimate)}) is {'below' if failed else 'not shown to be below'} "
        f"{formatting.times(lowest)}, the limit of --fail-if-slower-than {limit:g}",
    )
