"""Cold starts and response times of recorded runs, by loading method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadbench.errors import UsageError
from loadbench.load_paths import LOAD_PATHS
from loadbench.results.run_index import list_summaries
from loadbench.results.run_record import load_record, record_file
from loadbench.results.run_summary import RunSummary, point_of
from loadbench.results.scale_out_record import added_copy, scale_outs_of
from loadbench.results.select_runs import recorded_runs
from loadbench.what_if.distributions import Distribution, from_values


@dataclass(frozen=True)
class LoadingFigures:
    """Recorded or predicted figures of one loading method; `request` is None if no request was answered."""

    load_path: str
    cold_start: Distribution
    request: Distribution | None
    usd_per_hour: float | None
    is_local: bool


def recorded_loading(
    results_dir: Path,
    names: Sequence[str],
    load_paths: Sequence[str],
    model: str | None,
    instance_type: str | None,
) -> list[LoadingFigures]:
    """Figures of the named runs, by default of all with the newest run's model, instance type and target.

    If copies were added to a run's endpoint, their times are used, because scaling out waits for those.
    Raises UsageError if there are no such runs.
    """
    if names:
        points = [point_of(record) for record in recorded_runs(results_dir, names)]
    else:
        points = list_summaries(results_dir).points
    usable = [
        point
        for point in points
        if point.usable
        and (not load_paths or point.path in load_paths)
        and model in (None, point.model_id)
        and instance_type in (None, point.instance_type)
    ]
    if not usable:
        raise UsageError(
            "no recorded runs match, so there are no cold starts to simulate",
            remedy="Record some with `make compare`, or pass --cold-start standard=632 --cold-start fast=590",
        )
    newest = max(usable, key=lambda point: point.started_s)
    alike = [point for point in usable if names or _likeness(point) == _likeness(newest)]
    if len({_likeness(point) for point in alike}) > 1:
        raise UsageError(
            "the named runs have different models, instance types or targets",
            remedy="Choose with --model or --instance-type, or name other runs.",
        )
    found = dict.fromkeys(point.path for point in alike)
    order = [path for path in LOAD_PATHS if path in found] + [
        path for path in found if path not in LOAD_PATHS
    ]
    return [_of_path(results_dir, path, [point for point in alike if point.path == path]) for path in order]


def _likeness(point: RunSummary) -> tuple[str, str, str]:
    return point.model_id, point.instance_type, point.target


def _of_path(results_dir: Path, load_path: str, points: Sequence[RunSummary]) -> LoadingFigures:
    added = [
        point_of(added_copy(load_record(record_file(results_dir, scale_out.run_id)), scale_out))
        for scale_out in scale_outs_of(results_dir, [point.run_id for point in points])
    ]
    copies_s = [point.time_to_ready_s or 0.0 for point in added if point.usable]
    starts_s = copies_s or [point.time_to_ready_s or 0.0 for point in points]
    what = "added copies" if copies_s else "cold starts"
    requests_s = [latency_s for point in points for latency_s in point.warm_latencies_s]
    price = next((point.price for point in reversed(points) if point.price), None)
    return LoadingFigures(
        load_path=load_path,
        cold_start=from_values(starts_s, f"{len(starts_s)} recorded {what}"),
        request=from_values(requests_s, f"{len(requests_s)} recorded warm requests") if requests_s else None,
        usd_per_hour=price.usd_per_hour if price else None,
        is_local=points[0].target == "local",
    )
