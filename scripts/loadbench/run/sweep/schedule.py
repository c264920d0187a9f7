"""The order of a sweep's runs, and the cells that still need runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadbench.results.sweep.model import CellInfo, SweepRecord
from loadbench.results.sweep.ranking import judged, log_ratios
from loadbench.results.sweep.stopping_rule import Verdict
from loadbench.run.series_plan import plan_series


@dataclass(frozen=True)
class SweepSlot:
    """One run: its round, its position in the round, its cell."""

    round: int
    position: int
    cell: str


def round_slots(record: SweepRecord, number: int, active: Sequence[str]) -> list[SweepSlot]:
    """The runs of a round in random order (seeded), preceded by an additional run of the first control.

    The first control therefore runs twice per round, at its start and at a random position, to show drift.
    """
    names = [cell.name for cell in record.cells]
    drawn = [slot.path for slot in plan_series(number + 1, record.seed, names) if slot.index == number]
    order = [record.cells[0].name, *(name for name in drawn if name in active)]
    if record.cells[0].name not in active:
        order = order[1:]
    return [SweepSlot(number, position, name) for position, name in enumerate(order)]


def active_cells(record: SweepRecord, times_s: Mapping[str, Mapping[int, list[float]]]) -> list[str]:
    """Undecided cells and the controls that they need.

    Failed cells are dropped, and so are all cells whose control failed.
    """
    failed = {run.cell for run in record.runs if run.status == "failed"}
    open_cells = [
        cell
        for cell in record.cells
        if cell.name != cell.control
        and not {cell.name, cell.control} & failed
        and _is_open(record, cell, judged(record, log_ratios(times_s, cell)))
    ]
    needed = {name for cell in open_cells for name in (cell.name, cell.control)}
    return [cell.name for cell in record.cells if cell.name in needed]


def _is_open(record: SweepRecord, cell: CellInfo, verdict: Verdict) -> bool:
    return verdict.kind == "open" and verdict.rounds < record.rule.most_rounds
