"""The rows of a comparison: time to ready, phases, latency, resources, cost, each with its ratio if it has
one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import geometric_mean

from loadbench.results.comparison.model import DetailRow, Measure, MeasureGroup, PhaseRow, Side
from loadbench.results.comparison.side import mean
from loadbench.results.costs import cost_of
from loadbench.results.formatting import Unit
from loadbench.results.run_summary import RunSummary
from loadbench.results.statistics import (
    Estimate,
    paired_difference,
    paired_ratio,
    summarize,
    unpaired_ratio,
)
from loadbench.results.timeline import DETAILS, PHASES, WEIGHTS_PHASES, Certainty, PhaseName, weakest

Value = Callable[[RunSummary], float | None]
Seconds = Callable[[RunSummary], float]


@dataclass(frozen=True)
class Match:
    """Two sides and the pairs among their usable runs, as indexes into `a.usable` and `b.usable`.

    `groups` names a group for each usable run of both sides, where runs of one group are not independent of
    each other: then a group counts as one value, and there are no pairs. Sides that are not `comparable`
    have figures, and no ratio.
    """

    a: Side
    b: Side
    pairs: Sequence[tuple[int, int]]
    groups: tuple[Sequence[str], Sequence[str]] | None = None
    comparable: bool = True

    def estimate(self, a: Sequence[float | None], b: Sequence[float | None]) -> Estimate | None:
        """Ratio of the usable runs' values, from pairs if there are any.

        None if a value is missing or 0, and with one run of each, which gives no ratio.
        """
        if not self.comparable:
            return None
        if self.pairs:
            a, b = [a[place] for place, _ in self.pairs], [b[place] for _, place in self.pairs]
        first, second = _positive(a), _positive(b)
        if first is None or second is None:
            return None
        if self.groups:
            first, second = (_by_group(*side) for side in zip((first, second), self.groups, strict=True))
        found = paired_ratio(first, second) if self.pairs else unpaired_ratio(first, second)
        return found if found.low is not None else None  # one run of each gives no ratio

    def difference_interval(self, a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
        """95 % interval of b minus a; None with fewer than two pairs."""
        if not self.pairs or not self.comparable:
            return None
        return paired_difference([a[place] for place, _ in self.pairs], [b[place] for _, place in self.pairs])

    def runs_without_partner(self) -> list[str]:
        """Ids of usable runs without a partner, if other runs are pairs."""
        if not self.pairs:
            return []
        paired = ({place for place, _ in self.pairs}, {place for _, place in self.pairs})
        return [
            run.run_id
            for side, places in zip((self.a, self.b), paired, strict=True)
            for place, run in enumerate(side.usable)
            if place not in places
        ]

    @cached_property
    def known(self) -> tuple[dict[str, Certainty], dict[str, Certainty]]:
        """For each side, the phases that any run had, and their certainty."""
        return _known_phases(self.a), _known_phases(self.b)


def match(
    a: Side, b: Side, *, groups: tuple[Sequence[str], Sequence[str]] | None = None, comparable: bool = True
) -> Match:
    """Find the pairs: runs of the same series and index. A pair with a failed run does not count."""
    if groups:
        return Match(a, b, (), groups, comparable)
    partners = {(run.pair.series_id, run.pair.index): place for place, run in enumerate(b.usable) if run.pair}
    keys = [(run.pair.series_id, run.pair.index) if run.pair else None for run in a.usable]
    return Match(
        a,
        b,
        [(place, partners[key]) for place, key in enumerate(keys) if key is not None and key in partners],
        comparable=comparable,
    )


def dependent_groups(
    a: Side, b: Side, endpoints: Mapping[str, str]
) -> tuple[Sequence[str], Sequence[str]] | None:
    """The groups for `match` from the endpoint of each run; None if no endpoint has several runs.

    SageMaker keeps an endpoint's image (docs/facts/sagemaker.md#image-cache), so its starts are not
    independent (docs/method.md, rule 2). `endpoints` has no run of the embedded AWS, which has no such cache.
    """
    of_a, of_b = ([endpoints.get(run.run_id, run.run_id) for run in side.usable] for side in (a, b))
    return (of_a, of_b) if any(len(set(own)) < len(own) for own in (of_a, of_b)) else None


def _by_group(values: Sequence[float], groups: Sequence[str]) -> list[float]:
    """One value for each group: the geometric mean, as for ratios."""
    members: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    return [geometric_mean(own) for own in members.values()]


def _known_phases(side: Side) -> dict[str, Certainty]:
    """A phase is as certain as its least certain span; spans without length do not matter."""
    known: dict[str, Certainty] = {}
    for run in side.usable:
        for share in run.phases:
            before = known.get(share.name, "measured")
            known[share.name] = weakest((before, share.certainty)) if share.busy_s > 0 else before
    return known


def total_row(both: Match) -> PhaseRow:
    """The whole time from request to in service."""
    row = _row(both, "time_to_in_service", ready_s, ready_s, PHASES)
    # The service measures the total, whatever the certainty of its parts; simulated time remains simulated.
    measured: dict[Certainty, Certainty] = {"inferred": "measured"}
    return row.model_copy(
        update={
            "a_certainty": measured.get(row.a_certainty, row.a_certainty),
            "b_certainty": measured.get(row.b_certainty, row.b_certainty),
        }
    )


def weights_row(both: Match) -> PhaseRow:
    """How long weights were moving, including overlaps: the part that differs between loading methods.

    Not a sum of phases: if weights stream while the container starts, the time may belong to that phase.
    """
    return _row(both, "weights", _moving_s, _moving_s, WEIGHTS_PHASES)


def _moving_s(run: RunSummary) -> float:
    return run.weights_busy_s


def phase_rows(both: Match) -> list[PhaseRow]:
    """One row for each phase that any run had, in the order in which phases happen."""
    return [_phase_row(both, name) for name in PHASES if any(name in known for known in both.known)]


def _phase_row(both: Match, name: PhaseName) -> PhaseRow:
    row = _row(both, name, lambda run: run.seconds_in(name), lambda run: run.busy_in(name), (name,))
    return row.model_copy(update={"details": _detail_rows(both, name)})


def _detail_rows(both: Match, phase: PhaseName) -> list[DetailRow]:
    """One row for each finer phase that any run had; a run without it counts as 0, a side without it is
    empty.
    """
    rows = []
    for name in DETAILS.get(phase, ()):
        values = [[run.detail_in(phase, name) for run in side.usable] for side in (both.a, both.b)]
        a_s, b_s = (
            mean(value or 0.0 for value in side) if any(value is not None for value in side) else None
            for side in values
        )
        if a_s is not None or b_s is not None:
            rows.append(DetailRow(name=name, a_s=a_s, b_s=b_s))
    return rows


def _row(both: Match, name: str, seconds: Seconds, busy: Seconds, phases: Sequence[str]) -> PhaseRow:
    values_a, values_b = ([seconds(run) for run in side.usable] for side in (both.a, both.b))
    a_s, b_s = mean(values_a), mean(values_b)
    known_a, known_b = ([known[phase] for phase in phases if phase in known] for known in both.known)
    return PhaseRow(
        name=name,
        a_s=a_s if known_a else None,
        b_s=b_s if known_b else None,
        a_busy_s=mean(busy(run) for run in both.a.usable),
        b_busy_s=mean(busy(run) for run in both.b.usable),
        a_certainty=weakest(known_a),
        b_certainty=weakest(known_b),
        difference_s=b_s - a_s if a_s is not None and b_s is not None else None,
        difference_interval_s=both.difference_interval(values_a, values_b),
        estimate=both.estimate(values_a, values_b),
    )


def ready_s(run: RunSummary) -> float:
    """Time to ready of a usable run."""
    return run.time_to_ready_s or 0.0


def _positive(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None and value > 0]
    return known if known and len(known) == len(values) else None


@dataclass(frozen=True)
class _Spec:
    """A quantity: one figure per run for the ratio; all samples for the summary if a run has several."""

    name: str
    label: str
    unit: Unit
    group: MeasureGroup
    value: Value
    samples: Callable[[RunSummary], Sequence[float]] | None = None

    def of(self, side: Side) -> list[float]:
        """Every sample of a side."""
        if self.samples:
            return [sample for run in side.usable for sample in self.samples(run)]
        return [value for run in side.usable if (value := self.value(run)) is not None]


def measures(both: Match) -> list[Measure]:
    """Latency, resources and cost on both sides."""
    return [
        Measure(
            name=spec.name,
            label=spec.label,
            unit=spec.unit,
            group=spec.group,
            a=summarize(spec.of(both.a)),
            b=summarize(spec.of(both.b)),
            estimate=both.estimate(
                [spec.value(run) for run in both.a.usable], [spec.value(run) for run in both.b.usable]
            ),
        )
        for spec in _SPECS
    ]


def _cost_to_ready(run: RunSummary) -> float | None:
    return cost_of(run.time_to_ready_s, run.price, run.instance_count)


_SPECS = (
    _Spec("first_response", "First response", "s", "latency", lambda run: run.first_response_s),
    _Spec(
        "warm_response",
        "Request latency",
        "s",
        "latency",
        lambda run: run.warm_latency_s,
        lambda run: run.warm_latencies_s,
    ),
    _Spec(
        "time_to_first_token",
        "Time to first token",
        "s",
        "latency",
        lambda run: run.time_to_first_token_s,
        lambda run: run.times_to_first_token_s,
    ),
    _Spec(
        "output_rate",
        "Output tokens per second",
        "tokens/s",
        "latency",
        lambda run: run.output_tokens_per_s,
        lambda run: run.tokens_per_s,
    ),
    _Spec("cpu_seconds", "CPU time", "s", "resources", lambda run: run.cpu_seconds),
    _Spec("peak_memory", "Peak memory", "bytes", "resources", lambda run: run.peak_memory_bytes),
    _Spec("disk_write", "Written to disk", "bytes", "resources", lambda run: run.disk_write_bytes),
    _Spec(
        "network_receive",
        "Received from network",
        "bytes",
        "resources",
        lambda run: run.network_receive_bytes,
    ),
    _Spec("cost_to_ready", "Cold start at AWS prices", "USD", "cost", _cost_to_ready),
)
