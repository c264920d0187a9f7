"""Compares two sets of records: result, phases, other measures, cost, break-even, other differences.

Method: docs/method.md. It writes nothing; reports are made from its result.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence

from loadbench.errors import UsageError
from loadbench.load_paths import LOAD_PATHS
from loadbench.results import formatting
from loadbench.results.comparison.confounders import find_differences, find_warnings, warm_against_cold
from loadbench.results.comparison.model import Comparison, PhaseRow, Side
from loadbench.results.comparison.rows import (
    Match,
    dependent_groups,
    match,
    measures,
    phase_rows,
    total_row,
    weights_row,
)
from loadbench.results.comparison.scale_out import make_section
from loadbench.results.comparison.side import RecordOf, label_of, make_side
from loadbench.results.comparison.verdict import judge
from loadbench.results.costs import BreakEven, break_even
from loadbench.results.run_record import RunRecord
from loadbench.results.run_summary import RunSummary, point_of
from loadbench.results.scale_out_record import ScaleOutRecord


def compare(
    records: Sequence[RunRecord],
    baseline: Sequence[RunRecord] = (),
    *,
    created_s: float,
    scale_outs: Sequence[ScaleOutRecord] = (),
) -> Comparison:
    """Compare standard with fast, or all `records` with a `baseline`; `scale_outs` are those of any of them.

    Raises UsageError when there are not two sides.
    """
    by_id = {record.run_id: record for record in (*records, *baseline)}
    comparison = compare_points(
        [point_of(record) for record in records],
        [point_of(record) for record in baseline],
        record_of=by_id.__getitem__,
        created_s=created_s,
        endpoints={run_id: run.names.endpoint for run_id, run in by_id.items() if run.target == "aws"},
    )
    a, b = ((side.label, [by_id[run.run_id] for run in side.runs]) for side in (comparison.a, comparison.b))
    return comparison.model_copy(update={"scale_out": make_section(a, b, scale_outs)})


def compare_points(
    points: Sequence[RunSummary],
    baseline: Sequence[RunSummary] = (),
    *,
    record_of: RecordOf,
    created_s: float,
    endpoints: Mapping[str, str] | None = None,
) -> Comparison:
    """The same from run summaries; whole records are read only for the runs whose timeline is shown.

    `endpoints` has the endpoint of each run on AWS, by its id; default: each run has its own.
    """
    (label_a, points_a), (label_b, points_b) = _sides(points, baseline)
    a, b = make_side(label_a, points_a, record_of), make_side(label_b, points_b, record_of)
    groups = dependent_groups(a, b, endpoints or {})
    both = match(a, b, groups=groups, comparable=not warm_against_cold(a.usable, b.usable))
    total = total_row(both)
    differences = find_differences(a.usable or a.runs, b.usable or b.runs)
    newest = record_of(_newest([*a.usable, *b.usable] or [*a.runs, *b.runs]).run_id)
    return Comparison(
        comparison_id=_comparison_id(created_s, (*a.runs, *b.runs)),
        created_s=created_s,
        a=a,
        b=b,
        verdict=judge(a, b, total.estimate, dependent=groups is not None),
        estimate=total.estimate,
        total=total,
        phases=phase_rows(both),
        weights=weights_row(both),
        measures=measures(both),
        break_even=_break_even(both, total),
        differences=differences,
        warnings=find_warnings(both, total.estimate, differences),
        system=_system(newest),
        notice=_notice(newest, [*a.runs, *b.runs]),
        commands=_commands(a, b, baseline=bool(baseline)),
        configuration=newest.configuration,
    )


def _sides(
    points: Sequence[RunSummary], baseline: Sequence[RunSummary]
) -> tuple[tuple[str, Sequence[RunSummary]], tuple[str, Sequence[RunSummary]]]:
    if baseline and points:
        label_a, label_b = label_of(baseline), label_of(points)
        return (f"{label_a} (baseline)" if label_a == label_b else label_a, baseline), (label_b, points)
    order: dict[str, int] = {load_path: place for place, load_path in enumerate(LOAD_PATHS)}
    paths = sorted({point.path for point in points}, key=lambda path: (order.get(path, len(order)), path))
    if len(paths) != 2:
        found = f"only {' and '.join(paths)} runs" if paths else "no runs"
        raise UsageError(
            f"a comparison needs runs of two loading methods, found {found}",
            remedy="Run another method (make standard, make fast), or name an earlier run: --baseline RUN.",
        )
    first, second = ([point for point in points if point.path == load_path] for load_path in paths)
    return (paths[0], first), (paths[1], second)


def _newest(runs: Sequence[RunSummary]) -> RunSummary:
    return max(runs, key=lambda run: run.started_s)


def _break_even(both: Match, total: PhaseRow) -> BreakEven | None:
    """None unless `b` needed a job and `a` did not, and the runs show which one is faster."""
    a, b = both.a, both.b
    if b.one_time is None or a.one_time is not None or not a.time_to_ready or not b.time_to_ready:
        return None
    if total.estimate is None or not total.estimate.decides:
        return None  # it is not certain that any seconds are saved
    usd_a, usd_b = (side.cost.to_ready_usd if side.cost else None for side in (a, b))
    interval = total.difference_interval_s
    return break_even(
        b.one_time,
        saved_s=a.time_to_ready.mean - b.time_to_ready.mean,
        saved_interval_s=(-interval[1], -interval[0]) if interval else None,
        saved_usd=usd_a - usd_b if usd_a is not None and usd_b is not None else None,
    )


def _notice(newest: RunRecord, runs: Sequence[RunSummary]) -> str | None:
    if not any(run.target == "local" for run in runs):
        return None
    cpus = newest.system.get("client_cpus")
    limit = (newest.network or {}).get("instance_bytes_per_s")
    slowed = f"; S3 limited to {formatting.size_bytes(limit)}/s an instance" if limit else ""
    return f"Local emulation{f' on {cpus} CPUs' if cpus else ''}, not AWS timings{slowed}"


def _system(newest: RunRecord) -> dict[str, str]:
    """Rule 10: versions and settings that somebody else needs to repeat the result."""
    return {
        "model": newest.model.model_id,
        "weights digest": newest.model.digest or "unknown",
        "instance type": newest.instance_type,
        "image": newest.image,
        "target": newest.target,
        "region": newest.region,
        "configuration digest": newest.configuration_digest,
        **newest.system,
    }


def _commands(a: Side, b: Side, *, baseline: bool) -> list[str]:
    made = dict.fromkeys(" ".join(run.command) for run in (*a.runs, *b.runs))
    again = " ".join(run.run_id for run in b.runs)
    first = " ".join(f"--baseline {run.run_id}" if baseline else run.run_id for run in a.runs)
    return [*made, f"loadbench compare {first} {again}"]


def _comparison_id(created_s: float, runs: Sequence[RunSummary]) -> str:
    """An id that sorts by time; its suffix depends on the compared runs."""
    moment = datetime.datetime.fromtimestamp(created_s, datetime.UTC)
    digest = hashlib.sha256(" ".join(run.run_id for run in runs).encode()).hexdigest()
    return f"{moment:%Y%m%d-%H%M%S}-{digest[:4]}"
