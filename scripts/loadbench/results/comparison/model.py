"""What a comparison says, as data: comparison.json. Every report is made from this and nothing else."""

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
    """The run whose timeline is drawn: the one at the side's median. Times are seconds since its request."""

    run_id: str
    ready_s: float
    spans: list[Span]
    series: list[Series]


class Side(_Model):
    """One way of loading, with every run made of it, the failed ones too."""

    label: str
    path: str
    runs: list[RunSummary]
    outliers: list[str] = Field(description="run ids far from the rest: labelled, kept in every figure")
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
        """The runs that do not count, each with its reason."""
        return [run for run in self.runs if not run.usable]


class DetailRow(_Model):
    """One finer phase on both sides, within its phase. Means over the runs, None where no run had it."""

    name: str
    a_s: float | None
    b_s: float | None


class PhaseRow(_Model):
    """One phase on both sides. Means, so that the rows add up to the total; ratios are of geometric means."""

    name: str
    a_s: float | None = Field(description="None: this side has no such phase")
    b_s: float | None
    a_busy_s: float | None = Field(default=None, description="its own spans, overlaps included")
    b_busy_s: float | None = None
    a_certainty: Certainty = "measured"
    b_certainty: Certainty = "measured"
    difference_s: float | None = Field(
        default=None, description="b minus a, a phase that is not there counting 0"
    )
    difference_interval_s: tuple[float, float] | None = Field(default=None, description="95 %, from pairs")
    estimate: Estimate | None = Field(default=None, description="None where a side is 0 in some run")
    details: list[DetailRow] = Field(
        default_factory=list, description="finer phases within this one; what no line tells is in none"
    )


class Measure(_Model):
    """Another quantity on both sides; summaries are over all samples, estimates over runs' medians."""

    name: str
    label: str
    unit: Unit
    group: MeasureGroup
    a: Summary | None
    b: Summary | None
    estimate: Estimate | None


class ScaleOutSection(_Model):
    """What it took to add one copy to endpoints that serve. Each run of a side is one scale-out."""

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
    """Something else than the loading that differs between the sides."""

    what: str
    a: str
    b: str
    why: str = Field(description="what it may do to the result, empty where nobody knows")


class Verdict(_Model):
    """The result in words."""

    kind: VerdictKind
    sentence: str
    detail: str = Field(description="how sure it is, or what to do to be surer")
    settled: bool = Field(default=False, description="the interval leaves out 1: the runs carry the claim")
    next_command: str | None = Field(default=None, description="what settles it, where it is not settled")
    next_minutes: float | None = Field(default=None, description="how long that takes, as earlier runs did")

    @property
    def next_step(self) -> str | None:
        """What comes before the command that settles it; None where it is settled."""
        if self.next_command is None:
            return None
        minutes = self.next_minutes
        return f"To settle it{'' if minutes is None else f' (about {max(1, round(minutes))} min)'}:"


class ReusedRun(_Model):
    """A run that the command which made the comparison found and did not make."""

    run_id: str
    path: str
    age_s: float = Field(description="from its start to the comparison")

    @property
    def words(self) -> str:
        """One line for people."""
        return f"Re-used {self.path} run {self.run_id}, {formatting.age(self.age_s)} old"


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
    weights: PhaseRow = Field(description="seconds in which weights moved; not a further phase")
    measures: list[Measure]
    break_even: BreakEven | None
    differences: list[Difference]
    warnings: list[str]
    system: dict[str, str]
    commands: list[str] = Field(description="what made the runs, and what repeats them")
    configuration: dict[str, object]
    scale_out: ScaleOutSection | None = Field(
        default=None, description="copies added to the runs' endpoints; None where none was"
    )

    others: list[Comparison] = Field(
        default_factory=list, description="further loading methods, each compared with the same `a`"
    )
    reused_runs: list[ReusedRun] = Field(
        default_factory=list, description="runs of this comparison that an earlier command made"
    )
    notice: str | None = Field(
        default=None, description="what the figures are not: set where a run was made on the embedded AWS"
    )

    @property
    def parts(self) -> list[Comparison]:
        """This comparison and those of the further methods: one for every method but the first."""
        return [self, *self.others]

    @property
    def sides(self) -> list[Side]:
        """Every loading method once, the one that the others are compared with first."""
        return [self.a, *(part.b for part in self.parts)]

    def measure(self, name: str) -> Measure | None:
        """One measure by its name."""
        return next((item for item in self.measures if item.name == name), None)

    @property
    def created(self) -> str:
        """When it was made, in words."""
        moment = datetime.datetime.fromtimestamp(self.created_s, datetime.UTC)
        return f"{moment:%Y-%m-%d %H:%M} UTC"

    @property
    def is_local(self) -> bool:
        """Whether a run was made on the embedded AWS: nothing was billed, costs are what AWS would charge."""
        return any(run.target == "local" for side in self.sides for run in side.runs)


def load_comparison(path: Path) -> Comparison:
    """Read comparison.json, or the folder that holds it. UsageError if it is not one, or too new."""
    file = path if path.suffix == ".json" else path / "comparison.json"
    remedy = "Compare its runs again: loadbench compare RUN RUN"
    return load_document(file, Comparison, "comparison", "a comparison", COMPARISON_SCHEMA_VERSION, remedy)
