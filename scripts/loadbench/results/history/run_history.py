"""Runs and comparisons by configuration, in chronological order, with levels and version changes."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from loadbench.errors import UsageError
from loadbench.results import formatting
from loadbench.results.comparison.model import Comparison, load_comparison
from loadbench.results.history.changes import FALSE_ALARM_RATE, FEWEST_RUNS, find_changes, median_interval
from loadbench.results.run_index import list_summaries
from loadbench.results.run_summary import RunSummary
from loadbench.results.select_runs import COMPARISON_PREFIX
from loadbench.results.statistics import Estimate, unpaired_ratio

# The facts that distinguish two series. Versions are not among them: a series is watched for their effect.
_KEY_FACTS = (
    *("model", "instance type", "instance count", "endpoint kind", "weights source", "dtype"),
    *("S3 shaping", "data cache", "region"),
)
_NOT_A_VERSION = ("client_os", "client_cpus", "client_cpu_model")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VersionChange(_Model):
    """A version that differs between a run and the previous one."""

    name: str
    before: str
    after: str

    @property
    def words(self) -> str:
        """For example: image djl-inference:0.32.0 → 0.33.0. A common prefix is printed once."""
        same, _, first = self.before.rpartition(":")
        other, _, second = self.after.rpartition(":")
        if same and same == other:
            return f"{self.name} {same.rpartition('/')[2]}:{first} → {second}"
        return f"{self.name} {self.before} → {self.after}"


class Point(_Model):
    """One run of a series."""

    run_id: str
    started_s: float
    seconds: float | None = Field(description="cold start in seconds; null if the run failed")
    failure: str | None = None
    versions: dict[str, str]
    changed: list[VersionChange] = Field(description="version changes since the previous run")

    @property
    def day(self) -> str:
        """The date of the start (UTC)."""
        return day_of(self.started_s)


class Level(_Model):
    """Consecutive successful runs without a detected change."""

    first_run: str
    since_s: float
    count: int
    median_s: float
    low_s: float | None = Field(description="95 % interval of the median; null for fewer than six runs")
    high_s: float | None
    change: Estimate | None = Field(
        default=None, description="this level divided by the previous one, with 95 % interval"
    )
    p: float | None = Field(default=None, description="p-value of the split (permutation test)")
    versions: list[VersionChange] = Field(
        default_factory=list, description="versions that changed within one run of the split"
    )

    @property
    def percent(self) -> float | None:
        """The change relative to the previous level, in per cent."""
        return None if self.change is None else 100 * (self.change.ratio - 1)

    @property
    def words(self) -> str:
        """For example: since 2026-11-20: +12 % (95 % +8 to +16), image 0.32 → 0.33."""
        if self.change is None or self.percent is None:
            return f"since {day_of(self.since_s)}: no change found"
        within = ""
        if self.change.low is not None and self.change.high is not None:
            low, high = (_signed(100 * (end - 1)) for end in (self.change.low, self.change.high))
            within = f" (95 % {low} to {high})"
        seen = ", ".join(item.words for item in self.versions) or "no recorded version changed"
        return f"since {day_of(self.since_s)}: {_signed(self.percent)} %{within}, {seen}"


class Series(_Model):
    """One configuration over time."""

    key: str
    path: str
    target: Literal["local", "aws"]
    emulated: bool
    facts: dict[str, str] = Field(description="the facts that distinguish this series from others")
    points: list[Point]
    levels: list[Level]

    @property
    def title(self) -> str:
        """Title in one line."""
        where = "embedded AWS" if self.emulated else f"AWS {self.facts['region']}"
        return f"{self.path} · {self.facts['model']} · {self.facts['instance type']} · {where}"

    @property
    def network(self) -> str:
        """Short description of the network limits that the embedded AWS applied to an instance."""
        shaping = self.facts["S3 shaping"]
        if shaping in ("none", ""):
            return "not shaped" if self.emulated else "AWS"
        rates = json.loads(shaping)
        rate = rates.get("instance_bytes_per_s")
        each = rates.get("connection_bytes_per_s")
        whole = f"{formatting.size_bytes(rate)}/s" if rate else "limit of the type"
        return whole + (f", {formatting.size_bytes(each)}/s per connection" if each else "")

    @property
    def timed(self) -> list[Point]:
        """The successful runs."""
        return [point for point in self.points if point.seconds is not None]

    @property
    def failed(self) -> int:
        """The number of failed runs."""
        return len(self.points) - len(self.timed)

    @property
    def newest(self) -> Level | None:
        """The newest level; None if no run succeeded."""
        return self.levels[-1] if self.levels else None

    @property
    def slowdown_percent(self) -> float:
        """How much slower the newest level is than the previous one; 0 if unchanged, negative if faster."""
        return (self.newest.percent or 0.0) if self.newest else 0.0

    @property
    def brief(self) -> str:
        """The newest level's change for a table cell."""
        if len(self.timed) < FEWEST_RUNS:
            return f"{len(self.timed)} of {FEWEST_RUNS} runs"
        percent = self.newest.percent if self.newest else None
        return "none found" if percent is None else f"{_signed(percent)} %"

    @property
    def words(self) -> str:
        """The newest level's change, or why none can be detected."""
        if len(self.timed) < FEWEST_RUNS:
            return f"{len(self.timed)} of {FEWEST_RUNS} runs needed to detect a change"
        return self.newest.words if self.newest else ""


class ComparedPoint(_Model):
    """One comparison of two loading methods."""

    comparison_id: str
    created_s: float
    a: str
    b: str
    model: str
    instance_type: str
    emulated: bool
    estimate: Estimate | None


class History(_Model):
    """All series and comparisons recorded in a folder."""

    false_alarm_rate: float = FALSE_ALARM_RATE
    series: list[Series]
    comparisons: list[ComparedPoint]


def history_of(results_dir: Path) -> tuple[History, dict[str, str]]:
    """Every series and comparison of a folder, and the reasons for records that cannot be read, by name."""
    listing = list_summaries(results_dir)
    unreadable = dict(listing.unreadable)
    comparisons: list[Comparison] = []
    for folder in sorted(results_dir.glob(f"{COMPARISON_PREFIX}*")):
        try:
            comparisons.append(load_comparison(folder))
        except UsageError as error:
            unreadable[folder.name] = error.message
    history = History(series=series_of(listing.points), comparisons=_compared(comparisons))
    return history, unreadable


def series_of(runs: Iterable[RunSummary]) -> list[Series]:
    """Runs grouped by configuration; the series with the newest run first."""
    groups: dict[str, list[RunSummary]] = {}
    for run in sorted(runs, key=lambda run: run.started_s):
        if run.status != "running":
            groups.setdefault(_key(run), []).append(run)
    found = [_series(key, group) for key, group in groups.items()]
    return sorted(found, key=lambda series: -series.points[-1].started_s)


def _key(run: RunSummary) -> str:
    return json.dumps([run.path, run.target, *(run.facts.get(name, "") for name in _KEY_FACTS)])


def _series(key: str, runs: Sequence[RunSummary]) -> Series:
    points: list[Point] = []
    for run in runs:
        versions = _versions(run)
        known = points[-1].versions if points else versions
        points.append(
            Point(
                run_id=run.run_id,
                started_s=run.started_s,
                seconds=run.time_to_ready_s if run.usable else None,
                failure=None if run.usable else (run.failure or run.status),
                versions=versions,
                changed=_changed(known, versions),
            )
        )
    noisy = _noisy(points)
    first = runs[0]
    return Series(
        key=key,
        path=first.path,
        target=first.target,
        emulated=first.target == "local",
        facts={name: first.facts.get(name, "") for name in _KEY_FACTS},
        points=points,
        levels=_levels([point for point in points if point.seconds is not None], noisy),
    )


def _versions(run: RunSummary) -> dict[str, str]:
    found = {"image": run.facts.get("image", run.image)}
    if engine := run.facts.get("engine"):
        found["engine"] = engine
    for name, value in run.facts.items():
        what = name.removeprefix("version ")
        if name.startswith("version ") and what not in _NOT_A_VERSION:
            found[what.removeprefix("python:")] = value
    return found


def _changed(before: dict[str, str], after: dict[str, str]) -> list[VersionChange]:
    return [
        VersionChange(name=name, before=before.get(name, "none"), after=after.get(name, "none"))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def _noisy(points: Sequence[Point]) -> set[str]:
    """Versions that change every few runs (such as a revision) and therefore explain no change of level."""
    counts = Counter(item.name for point in points for item in point.changed)
    return {name for name, count in counts.items() if count > max(3, len(points) // 4)}


def _levels(points: Sequence[Point], noisy: Collection[str]) -> list[Level]:
    seconds = [point.seconds or 0.0 for point in points]
    splits = find_changes(seconds)
    edges = [0, *(split.index for split in splits), len(points)]
    found = []
    for number, (start, end) in enumerate(pairwise(edges)):
        values = seconds[start:end]
        if not values:
            return []
        low, high = median_interval(values) or (None, None)
        before = seconds[edges[number - 1] : start] if number else []
        # The position of a split is accurate to about one run.
        near = points[max(0, start - 2)], points[min(start + 1, len(points) - 1)]
        found.append(
            Level(
                first_run=points[start].run_id,
                since_s=points[start].started_s,
                count=len(values),
                median_s=median(values),
                low_s=low,
                high_s=high,
                change=unpaired_ratio(values, before) if before else None,
                p=splits[number - 1].p if number else None,
                versions=[
                    item
                    for item in (_changed(near[0].versions, near[1].versions) if before else [])
                    if item.name not in noisy
                ],
            )
        )
    return found


def _compared(comparisons: Sequence[Comparison]) -> list[ComparedPoint]:
    return [
        ComparedPoint(
            comparison_id=comparison.comparison_id,
            created_s=comparison.created_s,
            a=part.a.label,
            b=part.b.label,
            model=comparison.system.get("model", ""),
            instance_type=comparison.system.get("instance type", ""),
            emulated=comparison.is_local,
            estimate=part.estimate,
        )
        for comparison in sorted(comparisons, key=lambda item: item.created_s)
        for part in comparison.parts
    ]


def marks(series: Series) -> list[tuple[int, str]]:
    """Version changes: the run's number and a description."""
    noisy, found = _noisy(series.points), []
    for index, point in enumerate(series.points):
        words = [item.words for item in point.changed if item.name not in noisy]
        if words:
            found.append((index, ", ".join(words)))
    return found


def day_of(epoch_s: float) -> str:
    """A date, in UTC."""
    return f"{datetime.datetime.fromtimestamp(epoch_s, datetime.UTC):%Y-%m-%d}"


def _signed(percent: float) -> str:
    return f"{percent:+.0f}".replace("-", "−")
