"""The result of a simulation as a table and as JSON, and the export for other simulators."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from loadbench.results import formatting
from loadbench.what_if.outcome import Figure, Needed, Outcome

FAILS = "fails"  # instead of a waiting time


class WhatIf(BaseModel):
    """A finished simulation, the source of every output format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    traffic: str
    arrivals: str
    policy: str
    serving: str
    duration_s: float
    seed: int
    repeats: int
    outcomes: list[Outcome]
    needed: list[Needed] = Field(default_factory=list)
    notice: str = Field(description="limits of the figures")


def assumptions(result: WhatIf) -> list[str]:
    """The simulated scenario, one assumption per line."""
    hours = f"{result.duration_s / 3600:.4g} h"
    repeats = (
        f"{result.repeats} times with seeds starting at {result.seed}"
        if result.repeats > 1
        else f"seed {result.seed}"
    )
    lines = [
        f"Simulated: {result.traffic} ({result.arrivals} arrivals) for {hours}, {repeats}.",
        f"Scaling: {result.policy}. {result.serving}.",
    ]
    lines += [
        f"{outcome.load_path}: cold start {outcome.cold_start.words} ({outcome.cold_start.source}), "
        f"response time {outcome.request.words} ({outcome.request.source})."
        for outcome in result.outcomes
    ]
    return [*lines, result.notice]


def columns(result: WhatIf) -> list[str]:
    """Column headings: one column for the labels, then one per loading method."""
    return ["", *(outcome.load_path for outcome in result.outcomes)]


def rows(result: WhatIf) -> list[list[str]]:
    """One row per figure, one column per loading method."""
    found = result.outcomes
    table = [
        _row("requests per day", found, lambda o: _count(o.requests_per_day)),
        _row("failed per day: no copy in service", found, lambda o: _count(o.without_copy_per_day)),
        _row("failed per day: timed out", found, lambda o: _count(o.timed_out_per_day)),
        _row("requests that wait or fail", found, lambda o: f"{100 * (o.waited_share.value or 0):.2f} %"),
        _row("mean wait", found, lambda o: _wait(o.mean_wait_s)),
    ]
    for name in found[0].wait_s if found else ():
        table.append(_row(f"{name} wait", found, _wait_at(name)))
    table += [
        _row("cold starts per day", found, lambda o: _count(o.cold_starts_per_day)),
        _row("mean copies", found, lambda o: _number(o.mean_copies)),
        _row("maximum copies", found, lambda o: f"{o.most_copies:,}"),
        _row("USD per day", found, lambda o: _usd(o.usd_per_day)),
    ]
    if result.needed:
        target = f"{result.needed[0].target_p99_wait_s:g} s"
        best = [item.outcome for item in result.needed]
        table.append(
            [f"minimum copies for p99 wait ≤ {target}", *(f"{o.min_copies:,}" if o else "none" for o in best)]
        )
        costs = [_usd(o.usd_per_day) if o else formatting.MISSING for o in best]
        table.append(["USD per day with that minimum", *costs])
    return table


def export(result: WhatIf) -> str:
    """Mean and standard deviation of the loading delay in seconds, by method (JSON for other simulators)."""
    delays = [
        {
            "load_path": outcome.load_path,
            "loading_delay_mean_s": outcome.cold_start.mean_s,
            "loading_delay_std_s": outcome.cold_start.deviation_s,
            "samples": len(outcome.cold_start.values_s),
            "source": outcome.cold_start.source,
            "service_time_mean_s": outcome.request.mean_s,
            "service_time_std_s": outcome.request.deviation_s,
        }
        for outcome in result.outcomes
    ]
    return json.dumps(delays, indent=2) + "\n"


def _row(label: str, outcomes: Sequence[Outcome], cell: Callable[[Outcome], str]) -> list[str]:
    return [label, *(cell(outcome) for outcome in outcomes)]


def _wait_at(name: str) -> Callable[[Outcome], str]:
    return lambda outcome: _wait(outcome.wait_s[name])


def _with_interval(figure: Figure, form: Callable[[float], str]) -> str:
    if figure.value is None:
        return FAILS
    text = form(figure.value)
    if figure.low is None or figure.high is None or figure.high - figure.low < 1e-9:
        return text
    ends = [form(max(0.0, end)) for end in (figure.low, figure.high)]
    return text if ends[0] == ends[1] else f"{text} ({ends[0]} – {ends[1]})"


def _wait(figure: Figure) -> str:
    return _with_interval(figure, lambda value: formatting.seconds(value if value >= 0.001 else 0.0))


def _count(figure: Figure) -> str:
    return _with_interval(
        figure, lambda value: f"{value:,.0f}" if value >= 9.95 or value == 0 else f"{value:.1f}"
    )


def _number(figure: Figure) -> str:
    return _with_interval(figure, lambda value: f"{value:,.2f}")


def _usd(figure: Figure | None) -> str:
    return formatting.MISSING if figure is None else _with_interval(figure, formatting.usd)
