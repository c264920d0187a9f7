"""Ranking, Pareto front, drift and next measurements of a sweep, from the records of its runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, ConfigDict, Field

from loadbench.results.run_record import load_record, record_file
from loadbench.results.run_summary import point_of
from loadbench.results.statistics import CONFIDENCE, Summary, summarize, t_quantile
from loadbench.results.sweep.model import CellInfo, StartedRun, SweepRecord
from loadbench.results.sweep.stopping_rule import Verdict, judge

Times = Mapping[str, Mapping[int, list[float]]]  # by cell and round


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ranked(_Model):
    """One cell. `verdict` is None for a control."""

    cell: CellInfo
    times_s: list[float]
    summary: Summary | None
    usd: float | None = Field(description="cost of the median cold start at AWS prices")
    verdict: Verdict | None
    on_front: bool = Field(description="no cell of its model is both faster and cheaper")
    failure: str | None = None


class Drift(_Model):
    """The change of the first control's time from its first to its last run, as a ratio."""

    points: list[tuple[float, float]] = Field(description="(hours since the first run, seconds)")
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


class NextStep(_Model):
    """The rounds, cost and time that would probably decide an undecided cell."""

    cell: str
    rounds: int
    usd: float
    minutes: float


class SweepResult(_Model):
    """The contents of the page and the table, computed from the sweep's record and its runs' records."""

    sweep: SweepRecord
    models: list[str]
    ranked: list[Ranked]
    drift: Drift
    next_steps: list[NextStep]

    def of_model(self, model_id: str) -> list[Ranked]:
        """The cells of one model, fastest first."""
        return [item for item in self.ranked if item.cell.model_id == model_id]


def times_of(record: SweepRecord, results_dir: Path) -> Times:
    """Cold starts in seconds of all valid runs, by cell and round."""
    return _by_cell(_measured(record, results_dir))


def _measured(record: SweepRecord, results_dir: Path) -> list[tuple[StartedRun, float]]:
    """All valid runs, with their cold start in seconds."""
    found = []
    for run in record.runs:
        if run.status != "succeeded" or run.run_id is None:
            continue
        point = point_of(load_record(record_file(results_dir, run.run_id)))
        if point.usable and point.time_to_ready_s is not None:
            found.append((run, point.time_to_ready_s))
    return found


def _by_cell(measured: Sequence[tuple[StartedRun, float]]) -> Times:
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run, seconds in measured:
        found[run.cell][run.round].append(seconds)
    return found


def log_ratios(times_s: Times, cell: CellInfo) -> list[float]:
    """ln(control / cell) of every round that has both; several runs in a round are averaged."""
    own, control = times_s.get(cell.name, {}), times_s.get(cell.control, {})
    return [_log(control[number]) - _log(own[number]) for number in sorted(own) if number in control]


def _log(values_s: Sequence[float]) -> float:
    return fmean(math.log(value) for value in values_s)


def judged(record: SweepRecord, ratios: Sequence[float]) -> Verdict:
    """The first verdict that is decided; later runs do not change it."""
    for count in range(record.rule.least_rounds, len(ratios)):
        verdict = judge(ratios[:count], record.comparisons, record.rule)
        if verdict.kind != "open":
            return verdict
    return judge(ratios, record.comparisons, record.rule)


def rank(record: SweepRecord, results_dir: Path) -> SweepResult:
    """The result of a sweep, which may be unfinished."""
    measured = _measured(record, results_dir)
    times_s = _by_cell(measured)
    models = list(dict.fromkeys(cell.model_id for cell in record.cells))
    ranked = [_ranked(record, cell, times_s) for cell in record.cells]
    ranked = [item.model_copy(update={"on_front": _is_on_front(item, ranked)}) for item in ranked]
    ranked.sort(
        key=lambda item: (models.index(item.cell.model_id), item.summary.median if item.summary else math.inf)
    )
    return SweepResult(
        sweep=record,
        models=models,
        ranked=ranked,
        drift=_drift(record, measured),
        next_steps=_next_steps(record, ranked),
    )


def _ranked(record: SweepRecord, cell: CellInfo, times_s: Times) -> Ranked:
    rounds = times_s.get(cell.name, {})
    values_s = [value for number in sorted(rounds) for value in rounds[number]]
    price = cell.usd_per_hour
    failed = [run.reason for run in record.runs if run.cell == cell.name and run.status == "failed"]
    summary = summarize(values_s)
    return Ranked(
        cell=cell,
        times_s=values_s,
        summary=summary,
        usd=summary.median / 3600 * price if summary and price is not None else None,
        verdict=None if cell.name == cell.control else judged(record, log_ratios(times_s, cell)),
        on_front=False,
        failure=failed[-1] if failed else None,
    )


def _is_on_front(item: Ranked, others: Sequence[Ranked]) -> bool:
    """Whether no other cell of the model is at least as fast and as cheap, and better in one of the two."""
    if item.summary is None or item.usd is None:
        return False
    own = (item.summary.median, item.usd)
    for other in others:
        if other.cell.model_id != item.cell.model_id or other.summary is None or other.usd is None:
            continue
        place = (other.summary.median, other.usd)
        if place != own and place[0] <= own[0] and place[1] <= own[1]:
            return False
    return True


def _drift(record: SweepRecord, measured: Sequence[tuple[StartedRun, float]]) -> Drift:
    """Linear fit of the logs of the control's times (least squares, 95 % t interval)."""
    points = [
        ((run.started_s - record.runs[0].started_s) / 3600, seconds)
        for run, seconds in measured
        if run.cell == record.cells[0].name
    ]
    if len(points) < 3:
        return Drift(points=points)
    hours, logs = [hour for hour, _ in points], [math.log(seconds) for _, seconds in points]
    middle, centre = fmean(hours), fmean(logs)
    width = sum((hour - middle) ** 2 for hour in hours)
    slope = sum((hour - middle) * (log - centre) for hour, log in zip(hours, logs, strict=True)) / width
    rest = [log - centre - slope * (hour - middle) for hour, log in zip(hours, logs, strict=True)]
    error = math.sqrt(sum(value * value for value in rest) / (len(points) - 2) / width)
    half = t_quantile((1 + CONFIDENCE) / 2, len(points) - 2) * error
    span = hours[-1] - hours[0]
    low, ratio, high = (math.exp(value * span) for value in (slope - half, slope, slope + half))
    return Drift(points=points, ratio=ratio, low=low, high=high)


def _next_steps(record: SweepRecord, ranked: Sequence[Ranked]) -> list[NextStep]:
    """Undecided cells, cheapest to decide first; a round costs a run of the cell and one of its control."""
    lengths = [
        run.ended_s - run.started_s for run in record.runs if run.ended_s and run.status == "succeeded"
    ]
    minutes = fmean(lengths) / 60 if lengths else 0.0
    costs: dict[str, list[float]] = defaultdict(list)
    for run in record.runs:
        if run.usd is not None and run.status == "succeeded":
            costs[run.cell].append(run.usd)
    steps = []
    for item in ranked:
        verdict = item.verdict
        if verdict is None or verdict.kind != "open" or verdict.more_rounds is None or item.failure:
            continue
        usd = sum(fmean(costs[name]) for name in (item.cell.name, item.cell.control) if costs[name])
        steps.append(
            NextStep(
                cell=item.cell.name,
                rounds=verdict.more_rounds,
                usd=usd * verdict.more_rounds,
                minutes=2 * minutes * verdict.more_rounds,
            )
        )
    return sorted(steps, key=lambda step: step.usd)
