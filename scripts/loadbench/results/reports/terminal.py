"""The comparison on a terminal: one table of at most 100 columns, readable without colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadbench.results import formatting
from loadbench.results.comparison.model import (
    Comparison,
    Measure,
    PhaseRow,
    ScaleOutSection,
    Side,
    VerdictKind,
)
from loadbench.results.costs import BreakEven
from loadbench.results.statistics import Estimate
from loadbench.results.timeline import Certainty

WIDTH = 100
_STYLES: dict[VerdictKind, str] = {
    "faster": "bold green",
    "slower": "bold red",
    "cannot_tell": "bold yellow",
    "figures_only": "bold",
    "incomplete": "bold red",
}
_BESIDE = "∥ "
_MARKS: dict[Certainty, str] = {"measured": "", "inferred": " ~", "simulated": " *"}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the comparison; colours only where the console has them, and a pipe is as wide as a page."""
    if not console.is_terminal:
        console.width = WIDTH
    console.print(render(comparison), width=WIDTH)  # at most: rich takes the narrower of this and the console


def render(comparison: Comparison) -> RenderableType:
    """Verdict, table, what pays back, other differences, warnings."""
    parts: list[RenderableType] = [
        Text(comparison.verdict.sentence, style=_STYLES[comparison.verdict.kind]),
        Text(comparison.verdict.detail),
        Text(_circumstances(comparison), style="dim"),
        "",
        _figures(comparison),
        *_notes(comparison),
    ]
    if comparison.scale_out:
        parts += ["", _scale_out(comparison.scale_out)]
    if comparison.differences:
        parts += ["", _differences(comparison)]
    if comparison.warnings:
        parts += ["", Text("Read before use", style="bold")]
        parts += [_bullet(text) for text in comparison.warnings]
    return Group(*parts)


def print_scale_out(section: ScaleOutSection, console: Console) -> None:
    """Print what adding one copy took, on its own."""
    several = any(len(side.usable) > 1 for side in (section.a, section.b))
    notes = ["The sentence has medians, the table means, which add up."] if several else []
    notes += [f"Ratio: {section.a.label} over {section.b.label}."] if section.b.runs else []
    note = [Text(" ".join(notes), style="dim")] if notes else []
    console.print(Group(_scale_out(section), *note, *_marks(section.phases)), width=WIDTH)


def _scale_out(section: ScaleOutSection) -> RenderableType:
    """A sentence, the phases of the copy, the requests meanwhile."""
    sides = (section.a, section.b)
    figures = _new_figures(section.a.label, section.b.label, section.total.estimate)
    figures.phase(section.total, "time to one more copy", style="bold")
    for item in section.phases:
        figures.phase(item, f"  {formatting.name(item.name)}")
    figures.phase(section.weights, "weights on the move", style="italic")
    figures.row(
        "requests meanwhile", *(str(sum(run.sent_requests for run in side.runs)) for side in sides), ""
    )
    figures.row(
        "  of which failed", *(str(sum(run.failed_invocations for run in side.runs)) for side in sides), ""
    )
    if not section.b.runs:
        del figures.table.columns[2:]  # nothing stands beside it
    failed = [_bullet(f"{run.run_id}: {run.failure}") for side in sides for run in side.failed]
    return Group(Text(section.sentence, style="bold"), figures.table, *failed)


def _circumstances(comparison: Comparison) -> str:
    counts = " and ".join(
        f"{len(side.usable)} {side.label} run{'s' if len(side.usable) != 1 else ''}"
        for side in (comparison.a, comparison.b)
    )
    where = "embedded AWS" if comparison.is_local else comparison.system.get("region", "AWS")
    system = comparison.system
    return f"{system.get('model', '')} · {system.get('instance type', '')} · {where} · {counts}"


@dataclass(frozen=True)
class _Figures:
    """A table of both sides: rows of phases, and rows of anything else."""

    table: Table
    intervals: bool

    def row(self, label: str, *cells: str, estimate: Estimate | None = None, style: str = "") -> None:
        ratio = formatting.times(estimate.ratio if estimate else None)
        ends = [formatting.interval(estimate)] if self.intervals else []
        self.table.add_row(label, *cells, ratio, *ends, style=style)

    def phase(self, item: PhaseRow, label: str, style: str = "") -> None:
        self.row(
            label,
            _seconds(item.a_s, item.a_busy_s, item.a_certainty),
            _seconds(item.b_s, item.b_busy_s, item.b_certainty),
            formatting.seconds(item.difference_s, signed=True),
            estimate=item.estimate,
            style=style,
        )


def _new_figures(a: str, b: str, estimate: Estimate | None) -> _Figures:
    intervals = estimate is not None and estimate.low is not None
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", min_width=24, overflow="fold")
    table.add_column(a, justify="right", min_width=11, overflow="fold")
    table.add_column(b, justify="right", min_width=11, overflow="fold")
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    if intervals:
        table.add_column("95 %", justify="right", no_wrap=True)
    return _Figures(table, intervals)


def _figures(comparison: Comparison) -> Table:
    figures = _new_figures(comparison.a.label, comparison.b.label, comparison.estimate)
    figures.phase(comparison.total, "time to in service", style="bold")
    for item in comparison.phases:
        figures.phase(item, f"  {formatting.name(item.name)}")
    figures.phase(comparison.weights, "weights on the move", style="italic")
    for group in ("latency", "resources", "cost"):
        figures.table.add_row()
        for measure in comparison.measures:
            if measure.group == group:
                figures.row(measure.label, *_medians(measure), estimate=measure.estimate)
    figures.table.add_row("Optimization job, once", *(_job(side) for side in (comparison.a, comparison.b)))
    return figures.table


def _seconds(own_s: float | None, busy_s: float | None, certainty: Certainty) -> str:
    """A phase's own seconds, then those it was busy where it ran beside another."""
    beside = f" {_BESIDE}{formatting.seconds(busy_s)}" if formatting.ran_beside(own_s, busy_s) else ""
    return f"{formatting.seconds(own_s)}{beside}{_MARKS[certainty]}"


def _medians(measure: Measure) -> tuple[str, str, str]:
    a, b = (side.median if side else None for side in (measure.a, measure.b))
    return (
        formatting.quantity(a, measure.unit),
        formatting.quantity(b, measure.unit),
        formatting.quantity(None if a is None or b is None else b - a, measure.unit, signed=True),
    )


def _job(side: Side) -> str:
    if side.one_time is None:
        return formatting.MISSING
    return formatting.seconds(side.one_time.seconds)


def _notes(comparison: Comparison) -> list[Text]:
    notes = []
    several = any(len(side.usable) > 1 for side in (comparison.a, comparison.b))
    spread = "Phases are means over runs and add up, other figures medians. " if several else ""
    ratio = f"Ratio: {comparison.a.label} over {comparison.b.label}"
    notes.append(Text(f"{spread}{ratio}{', of geometric means' if several else ''}.", style="dim"))
    if comparison.break_even:
        notes.append(Text(_one_time(comparison.break_even, comparison.b), style="bold"))
    prices = dict.fromkeys(
        f"{side.cost.instance_type} ${side.cost.price.usd_per_hour:g} an hour ({side.cost.price.source}, "
        f"{side.cost.price.date})"
        for side in (comparison.a, comparison.b)
        if side.cost and side.cost.price
    )
    if prices:
        billed = "Nothing was billed; at the prices of AWS: " if comparison.is_local else "Price: "
        notes.append(Text(f"{billed}{'; '.join(prices)}.", style="dim"))
    return [
        *notes,
        *_marks([*comparison.phases, *(comparison.scale_out.phases if comparison.scale_out else [])]),
    ]


def _marks(phases: Sequence[PhaseRow]) -> list[Text]:
    """What the signs in a table of phases mean, those that stand in it."""
    notes = []
    certainties = {certainty for row in phases for certainty in (row.a_certainty, row.b_certainty)}
    if any(
        formatting.ran_beside(own_s, busy_s)
        for row in phases
        for own_s, busy_s in ((row.a_s, row.a_busy_s), (row.b_s, row.b_busy_s))
    ):
        notes.append(
            Text(
                "∥ how long it was busy in all: beside a phase that ended later, and owns the time.",
                style="dim",
            )
        )
    if "inferred" in certainties:
        notes.append(Text("~ inferred from what happened before and after, not measured.", style="dim"))
    if "simulated" in certainties:
        notes.append(Text("* simulated by the embedded AWS, wholly or in part, not measured.", style="dim"))
    return notes


def _one_time(pays: BreakEven, side: Side) -> str:
    cost = formatting.usd(side.one_time.usd) if side.one_time else formatting.MISSING
    return f"Optimization job, once: {cost}. {pays.sentence}"


def _differences(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("What else differs", overflow="fold", ratio=3)
    table.add_column(comparison.a.label, overflow="fold", ratio=4)
    table.add_column(comparison.b.label, overflow="fold", ratio=4)
    table.add_column("what it may do", overflow="fold", ratio=5)
    for item in comparison.differences:
        table.add_row(item.what, item.a, item.b, item.why)
    return table


def _bullet(text: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_row("•", text)
    return grid
