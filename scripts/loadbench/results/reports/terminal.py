"""The comparison on a terminal: one table of at most 100 columns, readable without colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from loadbench.results.statistics import Estimate
from loadbench.results.timeline import PHASES, Certainty

WIDTH = 100
_STYLES: dict[VerdictKind, str] = {
    "faster": "bold green",
    "slower": "bold red",
    "cannot_tell": "bold yellow",
    "figures_only": "bold yellow",
    "incomplete": "bold red",
}
_BESIDE = "∥ "
_MARKS: dict[Certainty, str] = {"measured": "", "inferred": " ~", "simulated": " *"}
_FEW_MEASURES = ("peak_memory", "cost_to_ready")  # measures of the short table


def print_comparison(comparison: Comparison, console: Console, *, every_row: bool = False) -> None:
    """Print the comparison, with colours only if the console has them; a pipe gets 100 columns."""
    if not console.is_terminal:
        console.width = WIDTH
    # WIDTH is the maximum: rich uses the smaller of this and the console's width.
    console.print(render(comparison, every_row=every_row), width=WIDTH)


def render(comparison: Comparison, *, every_row: bool = False) -> RenderableType:
    """Verdict, circumstances, table, break-even, warnings; `every_row`: all phases, measures, differences."""
    parts: list[RenderableType] = [
        *_verdicts(comparison),
        *([Text(comparison.notice, style="bold yellow")] if comparison.notice else []),
        Text(_circumstances(comparison), style="dim"),
        *(Text(item.words, style="yellow") for item in comparison.reused_runs),
        "",
        _figures(comparison, every_row),
        *_notes(comparison, every_row),
    ]
    for part in comparison.parts:
        if part.scale_out:
            parts += ["", _scale_out(part.scale_out)]
        if every_row and part.differences:
            parts += ["", _differences(part)]
    warnings = dict.fromkeys(text for part in comparison.parts for text in part.warnings)
    if warnings:
        parts += ["", Text("Warnings", style="bold"), *(_bullet(text) for text in warnings)]
    return Group(*parts)


def print_scale_out(section: ScaleOutSection, console: Console) -> None:
    """Print only the scale-out section."""
    several = any(len(side.usable) > 1 for side in section.sides)
    notes = ["The sentence shows medians, the table means, which add up."] if several else []
    notes += [_direction(section.sides)] if section.total.estimate else []
    note = [Text(" ".join(notes), style="dim")] if notes else []
    console.print(Group(_scale_out(section), *note, *_marks(section.phases)), width=WIDTH)


def _verdicts(comparison: Comparison) -> Iterator[Text]:
    for part in comparison.parts:
        yield Text(part.verdict.sentence, style=_STYLES[part.verdict.kind])
        yield Text(part.verdict.detail)
        if part.verdict.next_command:  # on a separate line, easy to copy
            yield Text(f"{part.verdict.next_step}\n  {part.verdict.next_command}", no_wrap=True)


def _scale_out(section: ScaleOutSection) -> RenderableType:
    """A sentence, the phases of the copy, and the requests during the scale-out."""
    sides = section.sides if section.b.runs else [section.a]
    figures = _Figures.of([side.label for side in sides], [section.total.estimate])
    figures.phases([section.total], "time to one more copy", style="bold")
    for item in section.phases:
        figures.phases([item], f"  {formatting.name(item.name)}")
        figures.details([item])
    figures.phases([section.weights], formatting.WEIGHT_LOADING, style="italic")
    sent = [sum(run.sent_requests for run in side.runs) for side in sides]
    failed = [sum(run.failed_invocations for run in side.runs) for side in sides]
    figures.row("requests meanwhile", [str(count) for count in sent])
    figures.row("  of which failed", [str(count) for count in failed])
    reasons = [_bullet(f"{run.run_id}: {run.failure}") for side in sides for run in side.failed]
    return Group(Text(section.sentence, style="bold"), figures.table, *reasons)


def _circumstances(comparison: Comparison) -> str:
    counts = ", ".join(
        f"{len(side.usable)} {side.label} run{'s' if len(side.usable) != 1 else ''}"
        for side in comparison.sides
    )
    where = "embedded AWS" if comparison.is_local else comparison.system.get("region", "AWS")
    system = comparison.system
    return f"{system.get('model', '')} · {system.get('instance type', '')} · {where} · {counts}"


@dataclass(frozen=True)
class _Figures:
    """A table of two or more sides: rows of phases, and rows of anything else.

    With two sides: difference, ratio and interval. With more: ratio and interval of each side in one cell.
    """

    table: Table
    sides: int
    intervals: bool

    @classmethod
    def of(cls, labels: Sequence[str], estimates: Sequence[Estimate | None]) -> _Figures:
        intervals = any(estimate is not None for estimate in estimates)
        table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("", min_width=22 if len(labels) > 2 else 25, overflow="fold")
        for label in labels:
            table.add_column(label, justify="right", min_width=9, overflow="fold")
        if len(labels) == 2:
            table.add_column("difference", justify="right", no_wrap=True)
        if intervals and len(labels) == 2:
            table.add_column("ratio", justify="right", no_wrap=True)
            table.add_column("95 %", justify="right", no_wrap=True)
        elif intervals:
            for label in labels[1:]:
                table.add_column(f"{labels[0]} ÷ {label}", justify="right", overflow="fold")
        return cls(table, len(labels), intervals)

    def row(
        self,
        label: str,
        cells: Sequence[str],
        difference: str = "",
        estimates: Sequence[Estimate | None] = (),
        style: str = "",
    ) -> None:
        """One row; missing cells at its end stay empty."""
        line = [label, *cells, *([difference] if self.sides == 2 else [])]
        if self.intervals:
            for estimate in estimates:
                ratio = formatting.times(estimate.ratio if estimate else None)
                interval = formatting.interval(estimate)
                if self.sides == 2:
                    line += [ratio, interval]
                else:
                    line.append(f"{ratio} ({interval})" if estimate else ratio)
        self.table.add_row(*line, style=style)

    def phases(self, items: Sequence[PhaseRow | None], label: str, style: str = "") -> None:
        """One phase: the row of each part, all with the same first side."""
        first = next(item for item in items if item is not None)
        cells = [_seconds(first.a_s, first.a_busy_s, first.a_certainty)]
        cells += [
            _seconds(item.b_s, item.b_busy_s, item.b_certainty) if item else formatting.MISSING
            for item in items
        ]
        self.row(
            label,
            cells[: self.sides],
            formatting.seconds(first.difference_s, signed=True),
            [item.estimate if item else None for item in items],
            style,
        )

    def details(self, items: Sequence[PhaseRow | None]) -> None:
        """The finer phases of one phase, below it."""
        known = [item for item in items if item is not None]
        for name in dict.fromkeys(detail.name for item in known for detail in item.details):
            rows = [
                next((detail for detail in item.details if detail.name == name), None) if item else None
                for item in items
            ]
            seconds = [
                next((row.a_s for row in rows if row), None),
                *(row.b_s if row else None for row in rows),
            ]
            cells = [formatting.seconds(value) for value in seconds[: self.sides]]
            self.row(f"    {formatting.name(name)}", cells, style="dim")


def _figures(comparison: Comparison, every_row: bool) -> Table:
    parts = comparison.parts
    figures = _Figures.of([side.label for side in comparison.sides], [part.estimate for part in parts])
    figures.phases([part.total for part in parts], formatting.COLD_START, style="bold")
    if every_row:
        for name in PHASES:
            rows = [next((row for row in part.phases if row.name == name), None) for part in parts]
            if any(rows):
                figures.phases(rows, f"  {formatting.name(name)}")
                figures.details(rows)
    figures.phases([part.weights for part in parts], formatting.WEIGHT_LOADING, style="italic")
    for group in ("latency", "resources", "cost"):
        if every_row:
            figures.table.add_row()
        for measure in comparison.measures:
            if measure.group == group and (every_row or measure.name in _FEW_MEASURES):
                _measure(figures, [part.measure(measure.name) for part in parts])
    if any(side.one_time for side in comparison.sides):
        figures.row("Optimization job, once", [_job(side) for side in comparison.sides])
    return figures.table


def _measure(figures: _Figures, items: Sequence[Measure | None]) -> None:
    first = next(item for item in items if item is not None)
    medians = [first.a.median if first.a else None]
    medians += [item.b.median if item and item.b else None for item in items]
    a, b = medians[0], medians[1]
    figures.row(
        first.label,
        [formatting.quantity(value, first.unit) for value in medians],
        formatting.quantity(None if a is None or b is None else b - a, first.unit, signed=True),
        [item.estimate if item else None for item in items],
    )


def _seconds(own_s: float | None, busy_s: float | None, certainty: Certainty) -> str:
    """A phase's own seconds, then its busy seconds if it overlapped with another phase."""
    beside = f" {_BESIDE}{formatting.seconds(busy_s)}" if formatting.ran_beside(own_s, busy_s) else ""
    return f"{formatting.seconds(own_s)}{beside}{_MARKS[certainty]}"


def _job(side: Side) -> str:
    if side.one_time is None:
        return formatting.MISSING
    return formatting.seconds(side.one_time.seconds)


def _direction(sides: Sequence[Side]) -> str:
    others = " or ".join(side.label for side in sides[1:])
    less = others if len(sides) == 2 else "the method"
    return f"Ratio: {sides[0].label} ÷ {others}; above ×1, {less} takes less."


def _notes(comparison: Comparison, every_row: bool) -> list[Text]:
    notes = []
    several = any(len(side.usable) > 1 for side in comparison.sides)
    spread = "Phases are means and add up, other figures medians. " if several else ""
    if any(part.estimate for part in comparison.parts):
        geometric = " Ratios are of geometric means." if several else ""
        notes.append(Text(f"{spread}{_direction(comparison.sides)}{geometric}", style="dim"))
    notes += [
        Text(f"{part.b.label}: {part.break_even.sentence}", style="bold")
        for part in comparison.parts
        if part.break_even
    ]
    prices = dict.fromkeys(
        f"{side.cost.instance_type} ${side.cost.price.usd_per_hour:g} an hour ({side.cost.price.source}, "
        f"{side.cost.price.date})"
        for side in comparison.sides
        if side.cost and side.cost.price
    )
    if prices:
        billed = "Nothing was billed. AWS would charge " if comparison.is_local else "Price: "
        notes.append(Text(f"{billed}{'; '.join(prices)}.", style="dim"))
    shown = [part.scale_out for part in comparison.parts if part.scale_out]
    phases = [row for part in comparison.parts for row in (part.phases if every_row else [part.total])]
    return [*notes, *_marks([*phases, *(row for section in shown for row in section.phases)])]


def _marks(phases: Sequence[PhaseRow]) -> list[Text]:
    """Explains the symbols that a table of phases uses."""
    notes = []
    certainties = {certainty for row in phases for certainty in (row.a_certainty, row.b_certainty)}
    if any(
        formatting.ran_beside(own_s, busy_s)
        for row in phases
        for own_s, busy_s in ((row.a_s, row.a_busy_s), (row.b_s, row.b_busy_s))
    ):
        notes.append(
            Text(
                "∥ how long the phase was busy, including overlaps with other phases.",
                style="dim",
            )
        )
    if "inferred" in certainties:
        notes.append(Text("~ inferred from what happened before and after, not measured.", style="dim"))
    if "simulated" in certainties:
        notes.append(Text("* simulated by the embedded AWS, at least in part, not measured.", style="dim"))
    return notes


def _differences(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("Other differences", overflow="fold", ratio=3)
    table.add_column(comparison.a.label, overflow="fold", ratio=4)
    table.add_column(comparison.b.label, overflow="fold", ratio=4)
    table.add_column("possible effect", overflow="fold", ratio=5)
    for item in comparison.differences:
        table.add_row(item.what, item.a, item.b, item.why)
    return table


def _bullet(text: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_row("•", text)
    return grid
