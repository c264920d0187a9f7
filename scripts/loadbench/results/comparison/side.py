"""One side of a comparison: its runs, their spread, their cost, and the run whose timeline is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median, median_low

from loadbench.results.comparison.model import ShownRun, Side
from loadbench.results.costs import Cost, OneTimeCost, cost_of
from loadbench.results.findings import findings
from loadbench.results.run_record import RunRecord, Series
from loadbench.results.run_summary import Clocks, RunSummary
from loadbench.results.statistics import outliers, summarize

RecordOf = Callable[[str], RunRecord]


def make_side(label: str, points: Sequence[RunSummary], record_of: RecordOf) -> Side:
    runs = sorted(points, key=lambda point: (point.started_s, point.run_id))
    usable = [run for run in runs if run.usable]
    seconds = [run.time_to_ready_s or 0.0 for run in usable]
    return Side(
        label=label,
        path=label_of(runs),
        runs=runs,
        outliers=[run.run_id for run, far in zip(usable, outliers(seconds), strict=True) if far],
        time_to_ready=summarize(seconds),
        clocks=Clocks(
            service_s=mean(run.clocks.service_s for run in usable),
            terraform_s=mean(run.clocks.terraform_s for run in usable),
            poller_s=mean(run.clocks.poller_s for run in usable),
        ),
        cost=_cost(usable),
        one_time=_one_time(runs),
        shown=_shown(usable, record_of),
    )


def label_of(points: Sequence[RunSummary]) -> str:
    """The load paths of the runs, as text."""
    return " and ".join(dict.fromkeys(point.path for point in points))


def _shown(usable: Sequence[RunSummary], record_of: RecordOf) -> ShownRun | None:
    if not usable:
        return None
    middle = median_low(sorted(run.time_to_ready_s or 0.0 for run in usable))
    record = record_of(next(run.run_id for run in usable if run.time_to_ready_s == middle))
    start_s = record.deployment.request_s or record.started_s

    def since_request(moment_s: float) -> float:
        return round(moment_s - start_s, 6)

    return ShownRun(
        run_id=record.run_id,
        ready_s=since_request(record.deployment.ready_s or start_s),
        spans=[
            span.model_copy(
                update={"start_s": since_request(span.start_s), "end_s": since_request(span.end_s)}
            )
            for span in sorted(record.spans, key=lambda span: (span.start_s, -span.end_s))
        ],
        series=[
            Series(
                name=series.name,
                unit=series.unit,
                source=series.source,
                points=[(since_request(moment_s), value) for moment_s, value in series.points],
            )
            for series in record.usage.series
        ],
        findings=findings(record),
    )


def _cost(usable: Sequence[RunSummary]) -> Cost | None:
    if not usable:
        return None
    newest = usable[-1]
    to_ready_usd = cost_of(mean(run.time_to_ready_s for run in usable), newest.price, newest.instance_count)
    return Cost(
        price=newest.price,
        instance_type=newest.instance_type,
        instance_count=newest.instance_count,
        to_ready_usd=to_ready_usd,
        per_thousand_usd=None if to_ready_usd is None else 1000 * to_ready_usd,
    )


def _one_time(runs: Sequence[RunSummary]) -> OneTimeCost | None:
    """The job that made the shards; for several jobs, the median of their seconds."""
    with_job = [(run, run.optimization) for run in runs if run.optimization]
    if not with_job:
        return None
    known_s = {job.job_name: job.seconds for _, job in with_job if job.seconds is not None}
    seconds = median(known_s.values()) if known_s else None
    newest, job = with_job[-1]
    return OneTimeCost(
        seconds=seconds,
        usd=cost_of(seconds, newest.job_price),
        instance_type=job.instance_type,
        price=newest.job_price,
        reused=all(job.reused for _, job in with_job),
        job_names=list(dict.fromkeys(job.job_name for _, job in with_job)),
        shards_bytes=job.shards_bytes,
    )


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the known values, None without any."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
