"""One run on a terminal: its phases, requests and results, or why it failed."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadbench.results import formatting
from loadbench.results.findings import findings
from loadbench.results.run_record import RunRecord
from loadbench.results.run_summary import point_of
from loadbench.results.timeline import Certainty

WIDTH = 100
_MARKS: dict[Certainty, str] = {"measured": "", "inferred": " (inferred)", "simulated": " (simulated)"}


def print_run(record: RunRecord, console: Console) -> None:
    """Print the run's phases and its other figures."""
    console.print(render(record), width=WIDTH)


def render(record: RunRecord) -> RenderableType:
    """The phases add up to the cold start; one run shows no spread."""
    run = point_of(record)
    parts: list[RenderableType] = [
        Text(f"{record.path} run {record.run_id}: {record.status}", style="bold"),
        Text(f"{record.model.model_id} · {record.instance_type} · {_where(record)}", style="dim"),
    ]
    if run.restarts:
        plural = "s" if run.restarts > 1 else ""
        parts += [Text(f"{run.restarts} server{plural} ended before this one was ready.", style="yellow")]
    if record.failure:
        parts += [Text(f"Failed in the step {record.failure.step}: {record.failure.message}", style="red")]
        parts += [Text(f"→ {record.failure.remedy}")] if record.failure.remedy else []
    if run.phases:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(min_width=25)
        table.add_column(justify="right")
        table.add_column()
        table.add_row(formatting.COLD_START, formatting.seconds(run.time_to_ready_s), "", style="bold")
        for share in run.phases:
            beside = formatting.ran_beside(share.seconds, share.busy_s)
            busy = f"busy {formatting.seconds(share.busy_s)}" if beside else ""
            table.add_row(
                f"  {formatting.name(share.name)}",
                formatting.seconds(share.seconds),
                busy + _MARKS[share.certainty],
            )
            for detail in run.details:
                if detail.phase == share.name:
                    label, seconds = formatting.name(detail.name), formatting.seconds(detail.seconds)
                    table.add_row(f"    {label}", seconds, "", style="dim")
        table.add_row(formatting.WEIGHT_LOADING, formatting.seconds(run.weights_busy_s), "", style="italic")
        for edge in record.readiness:
            since_s = edge.at_s - (record.deployment.request_s or record.started_s)
            table.add_row(
                f"{formatting.name(edge.name).capitalize()} after", formatting.seconds(since_s), edge.source
            )
        table.add_row("First response", formatting.seconds(run.first_response_s), "")
        table.add_row("Request latency", formatting.seconds(run.warm_latency_s), "median")
        parts += ["", table]
    if sentences := findings(record):
        parts += ["", *(Text(sentence) for sentence in sentences)]
    return Group(*parts)


def _where(record: RunRecord) -> str:
    if record.target == "aws":
        return record.region
    cpus = record.system.get("client_cpus")
    return f"local emulation{f' on {cpus} CPUs' if cpus else ''}, not AWS timings"
