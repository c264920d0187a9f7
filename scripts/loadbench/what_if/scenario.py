"""From the options of the command to a scenario: all that is wrong is said at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from loadbench.errors import LoadbenchError, UsageError
from loadbench.what_if.distributions import Distribution, parse_distribution
from loadbench.what_if.outcome import Loading, Scenario
from loadbench.what_if.recorded import Recorded
from loadbench.what_if.scaling import PERIODS_S, Kind, Metric, Policy, Step
from loadbench.what_if.simulation import Routing, Serving
from loadbench.what_if.traffic import Arrivals, Traffic, bursts, constant, read_trace

_Made = TypeVar("_Made")
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Options:
    """What the command line said. None if nothing was said and the default depends on something else."""

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
    """Everything that is wrong with the options, found in one go."""

    found: list[LoadbenchError] = field(default_factory=list)

    def attempt(self, make: Callable[[], _Made]) -> _Made | None:
        """What `make` makes; None, and the error kept, where it raises one."""
        try:
            return make()
        except LoadbenchError as error:
            self.found.append(error)
            return None

    def add(self, message: str, remedy: str) -> None:
        """One more."""
        self.found.append(UsageError(message, remedy=remedy))

    def raise_any(self) -> None:
        """UsageError with all of them, a line each."""
        if not self.found:
            return
        remedies = dict.fromkeys(error.remedy for error in self.found if error.remedy)
        raise UsageError(
            "\n  ".join(error.message for error in self.found), remedy="\n→ ".join(remedies)
        ) from self.found[0]


def make_scenario(
    options: Options, recorded: Callable[[], Sequence[Recorded]]
) -> tuple[Scenario, list[Loading]]:
    """What is simulated, and the loading methods; `recorded` is asked for what the options leave open.

    Raises UsageError with everything that is wrong.
    """
    problems = Problems()
    traffic = problems.attempt(lambda: _traffic(options))
    policy = problems.attempt(lambda: _policy(options))
    cold_starts = problems.attempt(lambda: _named(options.cold_starts, "--cold-start")) or {}
    requests = problems.attempt(lambda: _named(options.requests, "--request-seconds")) or {}
    given = {name: value for name, value in cold_starts.items() if name}
    if "" in cold_starts:
        given["copy"] = cold_starts[""]
    known: Sequence[Recorded] = ()
    # Without records the command uses only its options; without either there is nothing to simulate.
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
    """How a copy serves, for people."""
    routing = "to the copy with the fewest" if serving.routing == "least-outstanding" else "to any copy"
    return (
        f"A copy answers {serving.concurrency} at once; a request goes {routing}, waits there and fails "
        f"after {serving.timeout_s:g} s"
    )


def _traffic(options: Options) -> Traffic:
    duration_s = options.hours * SECONDS_PER_HOUR if options.hours else None
    if options.trace is not None:
        if options.rate is not None or options.burst_rate is not None:
            raise UsageError(
                "--trace goes with neither --rate nor --burst-rate", remedy="Leave one of them out."
            )
        return read_trace(options.trace, duration_s)
    if options.rate is None:
        raise UsageError(
            "the traffic is missing", remedy="Say --rate 2 (requests a second), or --trace FILE.csv."
        )
    duration_s = duration_s or 24 * SECONDS_PER_HOUR
    if options.burst_rate is None:
        return constant(options.rate, duration_s)
    if options.burst_seconds > options.burst_every_seconds:
        raise UsageError(
            f"a burst of {options.burst_seconds:g} s does not fit into {options.burst_every_seconds:g} s",
            remedy="Shorten --burst-seconds or lengthen --burst-every-seconds.",
        )
    return bursts(
        options.rate, options.burst_rate, options.burst_seconds, options.burst_every_seconds, duration_s
    )


def _policy(options: Options) -> Policy:
    most = options.max_copies if options.max_copies is not None else max(10, options.min_copies)
    if most < options.min_copies or most < 1:
        raise UsageError(
            f"at most {most} copies and at least {options.min_copies} do not go together",
            remedy="Raise --max-copies or lower --min-copies.",
        )
    if options.scaling == "target-tracking" and options.target_value is None:
        raise UsageError(
            "target tracking needs a target",
            remedy="Say --target-value 30, in requests a minute and copy (concurrency: at once).",
        )
    if (options.scaling == "step") != bool(options.steps):
        raise UsageError("--scaling step and --step go together", remedy=_STEP)
    if options.scaling == "none" and options.min_copies == 0:
        raise UsageError(
            "no copy and no scaling: every request fails", remedy="Raise --min-copies or say --scaling."
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
    "Write --step 60:+1 --step 120:+3 --step 10:-1: the metric's value, and how many copies more or fewer."
)


def _step(text: str) -> Step:
    found = re.fullmatch(r"(\d+(?:\.\d+)?):([+-]\d{1,6})", text)
    if found is None or int(found[2]) == 0:
        raise UsageError(f"--step {text}: no value and change", remedy=_STEP)
    return Step(value=float(found[1]), change=int(found[2]))


def _named(texts: Sequence[str], option: str) -> dict[str, Distribution]:
    """`NAME=SECONDS` texts by name; '' for one without a name. All that are wrong are named."""
    problems, found = Problems(), dict[str, Distribution]()
    for text in texts:
        name, _, numbers = text.rpartition("=")
        value = problems.attempt(lambda numbers=numbers: parse_distribution(numbers))  # type: ignore[misc]
        if name in found:
            problems.add(f"{option} {text}: {name or 'this'} was given before", "Give each once.")
        if value is not None:
            found[name] = value
    if "" in found and len(found) > 1 and option == "--cold-start":
        problems.add(f"{option}: one without a name among several", f"Write {option} NAME=SECONDS for each.")
    problems.raise_any()
    return found


def _loading(
    name: str,
    cold_starts: dict[str, Distribution],
    requests: dict[str, Distribution],
    known: Sequence[Recorded],
    options: Options,
) -> Loading:
    record = next((item for item in known if item.load_path == name), None)
    request = requests.get(name) or requests.get("") or (record.request if record else None)
    if request is None:
        raise UsageError(
            f"{name}: nothing says how long a request takes",
            remedy="Say --request-seconds 1.5 (or NAME=…), or record runs with warm requests.",
        )
    cold_start = cold_starts.get(name) or (record.cold_start if record else None)
    assert cold_start is not None
    usd = options.usd_per_hour
    if usd is None and record is not None:
        usd = record.usd_per_hour
    return Loading(name, cold_start, request, usd)
