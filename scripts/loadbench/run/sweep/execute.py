"""Executes a sweep. Every run is an ordinary run in its own process, which also removes what it created."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from loadbench.errors import InterruptedRunError, LeftoverError, RunError
from loadbench.results.run_record import Pair
from loadbench.results.sweep.model import StartedRun, SweepRecord, save_sweep, sweep_folder
from loadbench.results.sweep.ranking import times_of
from loadbench.run.active_runs import remove_earlier
from loadbench.run.removal.remove_run import interruption_leaves_something
from loadbench.run.run_context import RunContext
from loadbench.run.sweep.budget import Budget, WorstCase
from loadbench.run.sweep.plan import Cell
from loadbench.run.sweep.schedule import SweepSlot, active_cells, round_slots

_POLL_S = 0.2
# A run still going after this share of its longest duration is interrupted; the rest is reserved for removal.
_INTERRUPT_AT = 0.75
Command = Callable[[Cell, Pair], list[str]]


class BudgetSpentError(RunError):
    """The budget does not allow a further run."""


@dataclass
class _Running:
    """A run in progress and its process."""

    run: StartedRun
    cell: Cell
    process: subprocess.Popen[bytes]
    output: Path
    log: IO[bytes]
    interrupted: bool = False


@dataclass
class Sweep:
    """Executes a sweep. `lanes` is the number of concurrent runs in all, `room` that per instance type."""

    context: RunContext
    record: SweepRecord
    cells: Mapping[str, Cell]
    budget: Budget
    lanes: int
    room: Mapping[str, int]
    command: Command
    _running: list[_Running] = field(default_factory=list)
    _locks: list[int] = field(default_factory=list)
    _used_before_s: float = 0.0
    _began_s: float = 0.0

    def run(self) -> None:
        """Run rounds until every cell is decided or at its maximum, or the budget allows no further run.

        Raises InterruptedRunError and LeftoverError like an ordinary run; earlier measurements are kept.
        """
        self._used_before_s, self._began_s = self._used_after_a_crash_s(), time.monotonic()
        with ExitStack() as locks:
            for load_path in dict.fromkeys(cell.load_path for cell in self.cells.values()):
                self._locks.append(locks.enter_context(self.context.path_lock(load_path)))
                remove_earlier(self.context, load_path)
            try:
                self._rounds()
            except BudgetSpentError as error:
                self.record.ended_because = error.message
                self.context.ui.note(error.message)
            except KeyboardInterrupt as error:
                with interruption_leaves_something():
                    self._stop()
                raise InterruptedRunError(
                    "the sweep was interrupted; the resources of its runs were removed",
                    remedy="Measurements are kept. Call it again with --resume to continue.",
                ) from error
            except BaseException:
                with interruption_leaves_something():
                    self._stop()
                raise
            finally:
                self._save()

    def _rounds(self) -> None:
        for number in range(self.record.rule.most_rounds):
            times_s = times_of(self.record, self.context.workspace.results_dir)
            active = active_cells(self.record, times_s)
            if not active:
                break
            slots = round_slots(self.record, number, active)
            done = {
                (run.round, run.cell, self._rank(run))
                for run in self.record.runs
                if run.status == "succeeded"
            }
            waiting = [slot for slot in slots if not self._is_done(slot, slots, done)]
            if not waiting:
                continue
            self.context.ui.note(
                f"round {number + 1} of at most {self.record.rule.most_rounds}: {len(waiting)} runs, "
                f"${self.record.spent_usd:.2f} of ${self.budget.usd:g} spent"
            )
            self._round(waiting)
        self.record.ended_because = "every cell is decided or has reached the maximum of rounds"

    def _rank(self, run: StartedRun) -> int:
        """The number of earlier successful runs of the same cell and round."""
        return sum(
            (other.round, other.cell, other.status) == (run.round, run.cell, "succeeded")
            for other in self.record.runs[: run.number]
        )

    def _is_done(self, slot: SweepSlot, slots: list[SweepSlot], done: set[tuple[int, str, int]]) -> bool:
        rank = sum(other.cell == slot.cell for other in slots[: slot.position])
        return (slot.round, slot.cell, rank) in done

    def _round(self, waiting: list[SweepSlot]) -> None:
        """Execute all runs of a round, concurrently within the limits of lanes and instances."""
        while waiting or self._running:
            slot = next((slot for slot in waiting if self._has_room(slot)), None)
            if slot is not None and self._cell_failed(slot.cell):
                waiting.remove(slot)
            elif slot is not None:
                self._require_budget(slot)
                waiting.remove(slot)
                self._start(slot)
            else:
                time.sleep(_POLL_S)
            self._collect()

    def _has_room(self, slot: SweepSlot) -> bool:
        kind = self.cells[slot.cell].info.instance_type
        busy = sum(item.cell.info.instance_type == kind for item in self._running)
        return len(self._running) < self.lanes and busy < max(1, self.room.get(kind, 1))

    def _cell_failed(self, name: str) -> bool:
        control = self.cells[name].info.control
        return any(run.cell in (name, control) and run.status == "failed" for run in self.record.runs)

    def _require_budget(self, slot: SweepSlot) -> None:
        """If this run might exceed the budget, wait for those in progress, then raise BudgetSpentError."""
        while True:
            running = [item.cell.worst for item in self._running]
            spent = self.record.spent_usd - sum(item.usd for item in running)
            if self.budget.allows(spent, self._used_s(), running, self.cells[slot.cell].worst):
                return
            if not self._running:
                break
            time.sleep(_POLL_S)
            self._collect()
        worst = self.cells[slot.cell].worst
        raise BudgetSpentError(
            f"the budget allows no further run: ${self.record.spent_usd:.2f} of ${self.budget.usd:g} and "
            f"{self._used_s() / 3600:.2f} of {self.budget.seconds / 3600:g} h are used, and a run of "
            f"{slot.cell} may take ${worst.usd:.2f} and {worst.seconds / 3600:.2f} h"
        )

    def _start(self, slot: SweepSlot) -> None:
        cell, worst = self.cells[slot.cell], self.cells[slot.cell].worst
        run = StartedRun(
            number=len(self.record.runs),
            round=slot.round,
            cell=slot.cell,
            started_s=self.context.clock(),
            worst_usd=worst.usd,
            worst_s=worst.seconds,
        )
        self.record.runs.append(run)
        self._save()  # before it costs anything: after a crash it counts with its worst case
        pair = Pair(
            series_id=self.record.sweep_id,
            index=slot.round,
            position=slot.position,
            seed=self.record.seed,
            cell=slot.cell,
        )
        folder = sweep_folder(self.context.workspace.results_dir, self.record.sweep_id) / "runs"
        folder.mkdir(exist_ok=True)
        output, log_file = folder / f"{run.number:04d}.json", folder / f"{run.number:04d}.log"
        log = log_file.open("wb")
        with output.open("wb") as stdout:
            # A separate session, so that only this process forwards Ctrl-C. Background jobs ignore SIGINT.
            process = subprocess.Popen(
                self.command(cell, pair),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
                start_new_session=True,
                # If this process is killed, the run goes on, and keeps others away meanwhile.
                pass_fds=self._locks,
            )
        self._running.append(_Running(run, cell, process, output, log))
        self.context.ui.note(f"  {run.number + 1}. {slot.cell} …")

    def _collect(self) -> None:
        """Record runs that have ended; interrupt runs that take too long."""
        for item in list(self._running):
            code = item.process.poll()
            elapsed_s = self.context.clock() - item.run.started_s
            if code is None:
                if elapsed_s > _INTERRUPT_AT * item.run.worst_s and not item.interrupted:
                    item.interrupted = True
                    item.process.send_signal(signal.SIGTERM)
                continue
            self._running.remove(item)
            item.log.close()
            self._ended(item, code)

    def _ended(self, item: _Running, code: int) -> None:
        run, ui = item.run, self.context.ui
        run.ended_s = self.context.clock()
        run.usd = _cost_usd(run, run.ended_s)
        said = _last_words(item.output.with_suffix(".log"))
        if code == 0:
            document = json.loads(item.output.read_text(encoding="utf-8"))
            run.run_id, run.status = document["run_id"], "succeeded"
            ui.note(f"  {run.number + 1}. {run.cell}: in service after {document['time_to_ready_s']:.1f} s")
        elif code == InterruptedRunError.exit_code and not item.interrupted:
            run.status = "interrupted"
        else:
            run.status = "failed"
            run.reason = "it exceeded the longest duration of a run" if item.interrupted else said
            ui.warn(f"{run.cell} failed and is dropped: {run.reason}")
        self._save()
        if code == LeftoverError.exit_code:
            raise LeftoverError(f"{run.cell}: {said}", remedy="Run `make destroy`.")

    def _stop(self) -> None:
        """Interrupt all runs as Ctrl-C does, and wait until they are removed."""
        for item in self._running:
            if not item.interrupted:
                item.interrupted = True
                item.process.send_signal(signal.SIGTERM)
        left = []
        for item in list(self._running):
            code = item.process.wait()
            item.log.close()
            item.run.ended_s, item.run.status = self.context.clock(), "interrupted"
            item.run.usd = _cost_usd(item.run, item.run.ended_s)
            if code not in (0, InterruptedRunError.exit_code):
                left.append(item.run.cell)
        self._running.clear()
        self._save()
        if left:
            raise LeftoverError(
                f"resources of {', '.join(left)} may still exist and cost money",
                remedy="Run `make destroy`.",
            )

    def _used_s(self) -> float:
        return self._used_before_s + time.monotonic() - self._began_s

    def _used_after_a_crash_s(self) -> float:
        """Time used by earlier calls; a run whose end was not observed counts with its longest duration."""
        lost = [run.worst_s for run in self.record.runs if run.ended_s is None]
        for run in self.record.runs:
            if run.ended_s is None:
                run.ended_s, run.usd, run.status = run.started_s + run.worst_s, run.worst_usd, "interrupted"
        return self.record.used_s + max(lost, default=0.0)

    def _save(self) -> None:
        self.record.used_s = self._used_s()
        save_sweep(self.context.workspace.results_dir, self.record)


def _cost_usd(run: StartedRun, ended_s: float) -> float:
    """Cost at the rate of the worst case; exceeds the worst case if the removal took longer than reserved."""
    return (ended_s - run.started_s) / run.worst_s * run.worst_usd


def _last_words(log: Path) -> str:
    """The error, or else the last line, of a run's log."""
    lines = [
        line.strip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    return (errors or lines or ["no output"])[-1][:500]


def worst_of_all(cells: Mapping[str, Cell], record: SweepRecord) -> WorstCase:
    """The worst case of the whole sweep: all cells with the maximum of rounds, one run after the other."""
    rounds = record.rule.most_rounds
    first = cells[record.cells[0].name].worst
    every = [cell.worst for cell in cells.values()]
    return WorstCase(
        rounds * (first.usd + sum(item.usd for item in every)),
        rounds * (first.seconds + sum(item.seconds for item in every)),
    )
