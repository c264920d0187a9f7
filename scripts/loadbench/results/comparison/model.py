"""The data model of a comparison: comparison.json. Every report is made from this alone."""

from __future__ import annotations

import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from loadbench.results import formatting
from loadbench.results.costs import BreakEven, Cost, OneTimeCost
from loadbench.results.formatting import Unit
from loadbench.results.run_record import Series, load_document
from loadbench.results.run_summary import Clocks, RunSummary
from loadbench.results.statistics import Estimate, Summary
from loadbench.results.timeline import Certainty, Span

COMPARISON_SCHEMA_VERSION: Literal[1] = 1
VerdictKind = Literal["faster", "slower", "cannot_tell", "figures_only", "incomplete"]
MeasureGroup = Literal["latency", "resources", "cost"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShownRun(_Model):
    """The run whose timeline is drawn: the one closest to the side's median. Times are seconds since its
    request.
    """

    run_id: str
    ready_s: float
    spans: list[Span]
    series: list[Series]
    findings: list[str] = Field(default_factory=list, description="conclusions from its phases, in words")


class Side(_Model):
    """One loading method with all of its runs, including failed ones."""

    label: str
    path: str
    runs: list[RunSummary]
    outliers: list[str] = Field(description="ids of outliers: labelled, included in every figure")
    time_to_ready: Summary | None
    clocks: Clocks = Field(description="means over the runs")
    cost: Cost | None
    one_time: OneTimeCost | None = Field(description="the optimization job, None where there is none")
    shown: ShownRun | None

    @cached_property
    def usable(self) -> list[RunSummary]:
        """The runs that count."""
        return [run for run in self.runs if run.usable]

    @property
    def failed(self) -> list[RunSummary]:
        """The runs that do not count; each has its reason."""
        return [run for run in self.runs if not run.usable]


class DetailRow(_Model):
    """One finer phase on both sides, within its phase. Means over the runs, None if no run had it."""

    name: str
    a_s: float | None
    b_s: float | None


class PhaseRow(_Model):
    """One phase on both sides. Seconds are means, so that rows add up; ratios are of geometric means."""

    name: str
    a_s: float | None = Field(description="None: this side has no such phase")
    b_s: float | None
    a_busy_s: float | None = Field(default=None, description="its own spans, overlaps included")
    b_busy_s: float | None = None
    a_certainty: Certainty = "measured"
    b_certainty: Certainty = "measured"
    difference_s: float | None = Field(default=None, description="b minus a; a missing phase counts as 0")
    difference_interval_s: tuple[float, float] | None = Field(default=None, description="95 %, from pairs")
    estimate: Estimate | None = Field(default=None, description="None where a side is 0 in some run")
    details: list[DetailRow] = Field(
        default_factory=list,
        description="finer phases within this one; time that no log line explains is in none of them",
    )


class Measure(_Model):
    """Another quantity on both sides; summaries use all samples, estimates the medians of runs."""

    name: str
    label: str
    unit: Unit
    group: MeasureGroup
    a: Summary | None
    b: Summary | None
    estimate: Estimate | None


class ScaleOutSection(_Model):
    """Adding one copy to endpoints in service. Each run of a side is one scale-out."""

    a: Side
    b: Side
    sentence: str
    total: PhaseRow
    phases: list[PhaseRow]
    weights: PhaseRow

    @property
    def sides(self) -> list[Side]:
        """Both sides, as a comparison has them."""
        return [self.a, self.b]


class Difference(_Model):
    """A difference between the sides other than the loading method."""

    what: str
    a: str
    b: str
    why: str = Field(description="possible effect on the result, empty if unknown")


class Verdict(_Model):
    """The result in words."""

    kind: VerdictKind
    sentence: str
    detail: str = Field(description="how certain it is, or what to do to be more certain")
    settled: bool = Field(default=False, description="the interval excludes 1: the runs support the claim")
    next_command: str | None = Field(
        default=None, description="the command that would settle it, if it is not settled"
    )
    next_minutes: float | None = Field(
        default=None, description="how long that takes, estimated from earlier runs"
    )

    @property
    def next_step(self) -> str | None:
        """Text before the command that would settle it; None if it is settled."""
        if self.next_command is None:
            return None
        minutes = self.next_minutes
        return f"To settle it{'' if minutes is None else f' (about {max(1, round(minutes))} min)'}:"


class ReusedRun(_Model):
    """A run that the comparing command found instead of making it."""

    run_id: str
    path: str
    age_s: float = Field(description="from its start to the comparison")

    @property
    def words(self) -> str:
        """One human-readable line."""
        return f"Reused {self.path} run {self.run_id}, {formatting.age(self.age_s)} old"


class Comparison(_Model):
    """Two sets of runs, `a` the baseline, and everything a reader needs to judge them."""

    schema_version: Literal[1] = COMPARISON_SCHEMA_VERSION
    comparison_id: str
    created_s: float
    a: Side
    b: Side
    verdict: Verdict
    estimate: Estimate | None
    total: PhaseRow
    phases: list[PhaseRow]
    weights: PhaseRow = Field(description="seconds in which weights were moving; not an additional phase")
    measures: list[Measure]
    break_even: BreakEven | None
    differences: list[Difference]
    warnings: list[str]
    system: dict[str, str]
    commands: list[str] = Field(description="the commands that made the runs, and those that repeat them")
    configuration: dict[str, object]
    scale_out: ScaleOutSection | None = Field(
        default=None, description="copies added to the runs' endpoints; None if there were none"
    )

    others: list[Comparison] = Field(
        default_factory=list, description="further loading methods, each compared with the same `a`"
    )
    reused_runs: list[ReusedRun] = Field(
        default_factory=list, description="runs of this comparison that an earlier command made"
    )
    notice: str | None = Field(
        default=None,
        description="notice that the figures are not AWS timings, if a run was made on the embedded AWS",
    )

    @property
    def parts(self) -> list[Comparison]:
        """This comparison and those of further methods: one for every method except the first."""
        return [self, *self.others]

    @property
    def sides(self) -> list[Side]:
        """Every loading method once, the baseline first."""
        return [self.a, *(part.b for part in self.parts)]

    def measure(self, name: str) -> Measure | None:
        """One measure by its name."""
        return next((item for item in self.measures if item.name == name), None)

    @property
    def created(self) -> str:
        """When it was made, as text."""
        moment = datetime.datetime.fromtimestamp(self.created_s, datetime.UTC)
        return f"{moment:%Y-%m-%d %H:%M} UTC"

    @property
    def is_local(self) -> bool:
        """Whether a run was made on the embedded AWS: then nothing was billed, and costs are what AWS would
        charge.
        """
        return any(run.target == "local" for side in self.sides for run in side.runs)


def load_comparison(path: Path) -> Comparison:
    """Read comparison.json, or the folder with it. Raises UsageError if it is not a comparison, or
    too new.
    """
    file = path if path.suffix == ".json" else path / "comparison.json"
    remedy = "Compare its runs again: loadbench compare RUN RUN"
    return load_document(file, Comparison, "comparison", "a comparison", COMPARISON_SCHEMA_VERSION, remedy)
