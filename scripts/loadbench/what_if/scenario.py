"""Builds a scenario from the command's options, and reports all invalid options together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from loadbench.errors import LoadbenchError, UsageError
from loadbench.what_if.distributions import Distribution, parse_distribution
from loadbench.what_if.outcome import Loading, Scenario
from loadbench.what_if.recorded import LoadingFigures
from loadbench.what_if.scaling import PERIODS_S, Kind, Metric, Policy, Step
from loadbench.what_if.simulation import Routing, Serving
from loadbench.what_if.traffic import Arrivals, Traffic, bursts, constant, read_trace

_Made = TypeVar("_Made")
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Options:
    """The command's options. None: not given, and the default depends on other options."""

    rate: float | None
    burst_rate: float | None
    burst_seconds: float
    burst_every_seconds: float
    trace: Path | None
    hours: float | None
    arrivals: Arrivals
    cold_starts: tuple[str, ...]
    requests: tuple[str, ...]
    concurrency: int
    routing: Routing
    timeout_seconds: float
    scaling: Kind
    metric: Metric
    target_value: float | None
    steps: tuple[str, ...]
    min_copies: int
    max_copies: int | None
    period_seconds: float | None
    scale_out_cooldown: float
    scale_in_cooldown: float
    seed: int
    repeats: int
    usd_per_hour: float | None


@dataclass
class Problems:
    """Collects the errors of all options, to raise them together."""

    found: list[LoadbenchError] = field(default_factory=list)

    def attempt(self, make: Callable[[], _Made]) -> _Made | None:
        """Return the result of `make()`; if it raises, keep the error and return None."""
        try:
            return make()
        except LoadbenchError as error:
            self.found.append(error)
            return None

    def add(self, message: str, remedy: str) -> None:
        """Add an error."""
        self.found.append(UsageError(message, remedy=remedy))

    def raise_any(self) -> None:
        """Raise a UsageError with one line per error, if there are any."""
        if not self.found:
            return
        remedies = dict.fromkeys(error.remedy for error in self.found if error.remedy)
        raise UsageError(
            "\n  ".join(error.message for error in self.found), remedy="\n→ ".join(remedies)
        ) from self.found[0]


def make_scenario(
    options: Options, recorded: Callable[[], Sequence[LoadingFigures]]
) -> tuple[Scenario, list[Loading]]:
    """The scenario and its loading methods; calls `recorded` if the options do not give all durations.

    Raises UsageError with every invalid option.
    """
    problems = Problems()
    traffic = problems.attempt(lambda: _traffic(options))
    policy = problems.attempt(lambda: _policy(options))
    cold_starts = problems.attempt(lambda: _named(options.cold_starts, "--cold-start")) or {}
    requests = problems.attempt(lambda: _named(options.requests, "--request-seconds")) or {}
    given = {name: value for name, value in cold_starts.items() if name}
    if "" in cold_starts:
        given["copy"] = cold_starts[""]
    known: Sequence[LoadingFigures] = ()
    # Records are read only if the options leave something open; raises if neither gives the durations.
    if not problems.found and (not given or not requests):
        known = problems.attempt(recorded) or ()
    loadings = [
        loading
        for name in (given or [item.load_path for item in known])
        if (loading := problems.attempt(lambda name=name: _loading(name, given, requests, known, options)))  # type: ignore[misc]
    ]
    problems.raise_any()
    assert traffic is not None and policy is not None
    serving = Serving(loadings[0].request, options.concurrency, options.routing, options.timeout_seconds)
    return Scenario(traffic, options.arrivals, serving, policy, options.seed, options.repeats), loadings


def serving_words(serving: Serving) -> str:
    """Human-readable description of how a copy serves requests."""
    least = serving.routing == "least-outstanding"
    routing = "the copy with the fewest requests" if least else "a random copy"
    return (
        f"Concurrent requests per copy: {serving.concurrency}. A request is sent to {routing}, waits there "
        f"and fails after {serving.timeout_s:g} s"
    )


def _traffic(options: Options) -> Traffic:
    duration_s = options.hours * SECONDS_PER_HOUR if options.hours else None
    if options.trace is not None:
        if options.rate is not None or options.burst_rate is not None:
            raise UsageError(
                "--trace cannot be combined with --rate or --burst-rate", remedy="Remove one of them."
            )
        return read_trace(options.trace, duration_s)
    if options.rate is None:
        raise UsageError(
            "no traffic is given", remedy="Pass --rate 2 (requests per second) or --trace FILE.csv."
        )
    duration_s = duration_s or 24 * SECONDS_PER_HOUR
    if options.burst_rate is None:
        return constant(options.rate, duration_s)
    if options.burst_seconds > options.burst_every_seconds:
        raise UsageError(
            f"--burst-seconds {options.burst_seconds:g} is longer than its interval, "
            f"--burst-every-seconds {options.burst_every_seconds:g}",
            remedy="Shorten --burst-seconds or lengthen --burst-every-seconds.",
        )
    return bursts(
        options.rate, options.burst_rate, options.burst_seconds, options.burst_every_seconds, duration_s
    )


def _policy(options: Options) -> Policy:
    most = options.max_copies if options.max_copies is not None else max(10, options.min_copies)
    if most < options.min_copies or most < 1:
        raise UsageError(
            f"the maximum of {most} copies is below the minimum of {max(1, options.min_copies)}",
            remedy="Raise --max-copies or lower --min-copies.",
        )
    if options.scaling == "target-tracking" and options.target_value is None:
        raise UsageError(
            "--scaling target-tracking requires --target-value",
            remedy="Pass --target-value 30 (requests per minute and copy; with --metric concurrency: "
            "concurrent requests per copy).",
        )
    if (options.scaling == "step") != bool(options.steps):
        raise UsageError("--scaling step and --step require each other", remedy=_STEP)
    if options.scaling == "none" and options.min_copies == 0:
        raise UsageError(
            "with --min-copies 0 and no scaling policy, every request fails",
            remedy="Raise --min-copies or pass --scaling.",
        )
    return Policy(
        kind=options.scaling,
        min_copies=options.min_copies,
        max_copies=most,
        metric=options.metric,
        target_value=options.target_value or 1.0,
        period_s=options.period_seconds or PERIODS_S[options.metric],
        out_cooldown_s=options.scale_out_cooldown,
        in_cooldown_s=options.scale_in_cooldown,
        steps=tuple(_step(text) for text in options.steps),
    )


_STEP = (
    "Use --step VALUE:CHANGE (metric value, copies to add or remove): --step 60:+1 --step 120:+3 --step 10:-1"
)


def _step(text: str) -> Step:
    found = re.fullmatch(r"(\d+(?:\.\d+)?):([+-]\d{1,6})", text)
    if found is None or int(found[2]) == 0:
        raise UsageError(f"--step {text}: not of the form VALUE:CHANGE", remedy=_STEP)
    return Step(value=float(found[1]), change=int(found[2]))


def _named(texts: Sequence[str], option: str) -> dict[str, Distribution]:
    """Parse `NAME=SECONDS`; the key is '' if no name is given. Raises UsageError with all invalid texts."""
    problems, found = Problems(), dict[str, Distribution]()
    for text in texts:
        name, _, numbers = text.rpartition("=")
        value = problems.attempt(lambda numbers=numbers: parse_distribution(numbers))  # type: ignore[misc]
        if name in found:
            problems.add(f"{option} {text}: {name or 'the value'} is given twice", "Pass each name once.")
        if value is not None:
            found[name] = value
    if "" in found and len(found) > 1 and option == "--cold-start":
        problems.add(f"{option}: a value has no name", f"With several values, use {option} NAME=SECONDS.")
    problems.raise_any()
    return found


def _loading(
    name: str,
    cold_starts: dict[str, Distribution],
    requests: dict[str, Distribution],
    known: Sequence[LoadingFigures],
    options: Options,
) -> Loading:
    record = next((item for item in known if item.load_path == name), None)
    request = requests.get(name) or requests.get("") or (record.request if record else None)
    if request is None:
        raise UsageError(
            f"{name}: no response time is given or recorded",
            remedy="Pass --request-seconds 1.5 (or NAME=1.5), or record runs with warm requests.",
        )
    cold_start = cold_starts.get(name) or (record.cold_start if record else None)
    assert cold_start is not None
    usd = options.usd_per_hour
    if usd is None and record is not None:
        usd = record.usd_per_hour
    return Loading(name, cold_start, request, usd)
