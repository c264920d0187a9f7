"""All starts of one endpoint on a terminal: each start, then every phase with its median and range."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from statistics import median, median_low

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadbench.results import formatting
from loadbench.results.findings import findings
from loadbench.results.run_record import RunRecord
from loadbench.results.run_summary import RunSummary, point_of
from loadbench.results.statistics import outliers
from loadbench.results.timeline import DETAILS, PHASES

WIDTH = 100


def print_starts(records: Sequence[RunRecord], console: Console) -> None:
    """Print the table of starts."""
    console.print(render(records), width=WIDTH)


def render(records: Sequence[RunRecord]) -> RenderableType:
    """Starts in the order of time, phases in the order in which they happen."""
    runs = [point_of(record) for record in records]
    far = outliers([run.time_to_ready_s or 0.0 for run in runs])
    parts: list[RenderableType] = [_starts(records, runs, far), "", _phases(runs)]
    if named := [record.run_id for record, is_far in zip(records, far, strict=True) if is_far]:
        parts += ["", Text(f"Outliers: {', '.join(named)}.")]
    parts += _findings(records, runs)
    if sources := dict.fromkeys(
        record.deployment.request_source or "" for record in records if record.cause == "unknown"
    ):
        parts += ["", Text(f"Counted from {', '.join(sources)}.", style="dim")]
    if len(runs) > 1:
        # docs/method.md, rule 2
        parts += [
            Text(
                "Starts of one endpoint are not independent: later ones may find its image cached.",
                style="dim",
            )
        ]
    return Group(*parts)


def _findings(records: Sequence[RunRecord], runs: Sequence[RunSummary]) -> list[RenderableType]:
    """Of the start at the median, so that an outlier does not speak for all."""
    middle_s = median_low([run.time_to_ready_s or 0.0 for run in runs])
    record = next(
        record for record, run in zip(records, runs, strict=True) if (run.time_to_ready_s or 0.0) == middle_s
    )
    sentences = findings(record)
    if sentences and len(records) > 1:
        sentences = [f"The start at the median, {record.run_id}:", *sentences]
    return ["", *(Text(sentence) for sentence in sentences)] if sentences else []


def _starts(records: Sequence[RunRecord], runs: Sequence[RunSummary], far: Sequence[bool]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name, justify in (("start", "left"), ("asked by", "left"), ("cold start", "right"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for record, run, is_far in zip(records, runs, far, strict=True):
        asked_s = record.deployment.request_s or record.started_s
        moment = datetime.datetime.fromtimestamp(asked_s, datetime.UTC)
        notes = ["outlier"] if is_far else []
        notes += (
            [f"{run.restarts} failed start{'s' if run.restarts > 1 else ''} before"] if run.restarts else []
        )
        table.add_row(
            f"{moment:%Y-%m-%d %H:%M:%S}",
            record.cause or "unknown",
            formatting.seconds(run.time_to_ready_s),
            "; ".join(notes),
        )
    return table


def _phases(runs: Sequence[RunSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("phase", "median", "shortest", "longest", "starts"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    _row(table, formatting.COLD_START, [run.time_to_ready_s or 0.0 for run in runs], "bold")
    for phase in PHASES:
        known = [run.seconds_in(phase) for run in runs if any(share.name == phase for share in run.phases)]
        if known:
            _row(table, f"  {formatting.name(phase)}", known)
        for name in DETAILS.get(phase, ()):
            finer = [value for run in runs if (value := run.detail_in(phase, name)) is not None]
            if finer:
                _row(table, f"    {formatting.name(name)}", finer, "dim")
    return table


def _row(table: Table, label: str, values: Sequence[float], style: str = "") -> None:
    figures = (median(values), min(values), max(values))
    table.add_row(label, *(formatting.seconds(value) for value in figures), str(len(values)), style=style)
