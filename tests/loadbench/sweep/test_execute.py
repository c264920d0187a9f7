"""A sweep from its first run to its end, with stand-ins for the processes that deploy."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
from rich.console import Console

from loadbench.config import load_config
from loadbench.errors import InterruptedRunError, LeftoverError, UsageError
from loadbench.file_lock import is_locked
from loadbench.results.run_record import Pair, save_record
from loadbench.results.sweep.model import CellInfo, StartedRun, SweepRecord, load_sweep
from loadbench.results.sweep.page import COLUMNS, render, summary_lines, table_rows, write_page
from loadbench.results.sweep.ranking import rank
from loadbench.results.sweep.stopping_rule import Rule
from loadbench.run.run_context import RunContext
from loadbench.run.sweep.budget import Budget, WorstCase
from loadbench.run.sweep.execute import Sweep
from loadbench.run.sweep.plan import Cell
from loadbench.run.sweep.schedule import round_slots
from loadbench.ui import Ui
from loadbench.workspace import Workspace
from tests.loadbench.results.builders import make_record
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
SECONDS = {"standard": 100.0, "fast": 50.0, "streamer": 99.0}


class Bench:
    """A sweep in a folder: three cells of one model; `command` leaves a record and names it."""

    def __init__(self, folder: Path) -> None:
        config = load_config(ROOT / "config.yaml")
        self.context = RunContext(
            config=config,
            workspace=Workspace(ROOT, folder),
            account=cast(Any, SimpleNamespace(session=None)),
            ui=Ui(Console(file=io.StringIO())),
            command=["loadbench", "sweep"],
        )
        infos = [
            CellInfo(
                name=path,
                load_path=path,
                instance_type="ml.g5.xlarge",
                model_id="m",
                settings="default",
                control="standard",
                usd_per_hour=1.5,
            )
            for path in SECONDS
        ]
        self.cells = {info.name: Cell(info, config, (), WorstCase(1.0, 600.0)) for info in infos}
        self.record = SweepRecord(
            sweep_id="s", plan_digest="d", plan={}, target="local", region="us-west-2", seed=3,
            rule=Rule(least_rounds=3, most_rounds=4), max_usd=1000, max_hours=100, cells=infos,
        )  # fmt: skip
        self.codes: dict[int, int] = {}
        self.made: list[str] = []

    def command(self, cell: Cell, pair: Pair) -> list[str]:
        number = len(self.made)
        self.made.append(cell.info.name)
        code = self.codes.get(number, 0)
        if code:
            text = f"import sys; print('Error: no capacity', file=sys.stderr); sys.exit({code})"
            return [sys.executable, "-c", text]
        seconds = SECONDS[cell.load_path] * (1 + 0.001 * (number % 3))
        record = make_record(cell.load_path, ready_s=seconds, number=number, pair=pair, target="local")
        save_record(self.context.workspace.results_dir, record)
        said = json.dumps({"run_id": record.run_id, "time_to_ready_s": seconds})
        return [sys.executable, "-c", f"print({said!r})"]

    def sweep(self, budget: Budget | None = None, lanes: int = 2, **changes: Any) -> Sweep:
        made = Sweep(
            self.context, self.record, self.cells, budget or Budget(1000, 360_000), lanes, {}, self.command
        )
        return dataclasses.replace(made, **changes)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_decided_cells_are_run_no_more_and_the_ranking_is_right(bench: Bench) -> None:
    bench.sweep().run()
    assert bench.made.count("fast") == 3  # twice as fast is clear at the first look
    result = rank(bench.record, bench.context.workspace.results_dir)
    assert [item.cell.name for item in result.ranked] == ["fast", "streamer", "standard"]
    verdicts = {item.cell.name: item.verdict.kind for item in result.ranked if item.verdict}
    assert verdicts == {"fast": "faster", "streamer": "same"}
    assert [item.cell.name for item in result.ranked if item.on_front] == ["fast"]
    assert result.drift.ratio is not None
    assert result.next_steps == []


def test_the_first_control_runs_twice_a_round_and_the_order_comes_from_the_seed(bench: Bench) -> None:
    names = [cell.name for cell in bench.record.cells]
    rounds = [[slot.cell for slot in round_slots(bench.record, number, names)] for number in range(6)]
    assert all(order[0] == "standard" and sorted(order[1:]) == sorted(names) for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1
    assert rounds[2] == [slot.cell for slot in round_slots(bench.record, 2, names)]


def test_the_budget_ends_it_and_says_so(bench: Bench) -> None:
    earlier = StartedRun(
        number=0,
        round=0,
        cell="fast",
        started_s=0,
        worst_usd=5,
        worst_s=60,
        ended_s=60,
        usd=1.5,
        status="interrupted",
    )
    bench.record.runs.append(earlier)
    bench.sweep(Budget(usd=2.4, seconds=360_000), lanes=3).run()
    assert bench.made == []
    assert "the budget allows no further run: $1.50 of $2.4" in bench.record.ended_because
    bench.sweep(Budget(usd=1000, seconds=599.0)).run()
    assert bench.made == []
    bench.sweep(Budget(usd=2.6, seconds=360_000), lanes=3).run()  # one at a time fits
    assert bench.made


def test_a_resumed_sweep_repeats_nothing_that_succeeded(bench: Bench) -> None:
    bench.codes = {4: 130}  # interrupted by somebody else
    bench.sweep(lanes=1).run()
    assert bench.record.runs[4].status == "interrupted"
    again = Bench(bench.context.workspace.home)
    again.record = load_sweep(bench.context.workspace.results_dir, "s")
    again.made = list(bench.made)
    again.sweep(lanes=1).run()
    succeeded = [(run.round, run.cell) for run in again.record.runs if run.status == "succeeded"]
    extra = [pair for pair in set(succeeded) if succeeded.count(pair) > (2 if pair[1] == "standard" else 1)]
    assert extra == []


def test_a_run_that_was_not_seen_to_end_counts_at_its_worst(bench: Bench) -> None:
    bench.sweep(lanes=1).run()
    run = bench.record.runs[-1]
    run.ended_s = run.usd = None
    used_s, spent = bench.record.used_s, bench.record.spent_usd
    bench.sweep(lanes=1).run()
    assert bench.record.used_s >= used_s + run.worst_s
    assert bench.record.spent_usd >= spent
    assert run.usd == run.worst_usd


def test_a_cell_that_fails_is_left_out_and_the_others_go_on(bench: Bench) -> None:
    order = [slot.cell for slot in round_slots(bench.record, 0, list(SECONDS))]
    bench.codes = {order.index("streamer"): 1}
    bench.sweep(lanes=1).run()
    result = rank(bench.record, bench.context.workspace.results_dir)
    failed = next(item for item in result.ranked if item.cell.name == "streamer")
    assert failed.failure == "no capacity"
    assert bench.made.count("streamer") == 1
    assert bench.made.count("fast") == 3


def test_a_control_that_fails_ends_its_comparisons(bench: Bench) -> None:
    bench.codes = {0: 1}
    bench.sweep(lanes=1).run()
    assert bench.made == ["standard"]


def test_something_left_behind_ends_the_sweep_at_once(bench: Bench) -> None:
    bench.codes = {1: 3}
    with pytest.raises(LeftoverError):
        bench.sweep(lanes=1).run()
    assert len(bench.made) == 2


SLOW = """
    import signal, sys, time
    def leave(*_):
        print("removed", flush=True)
        sys.exit(130)
    signal.signal(signal.SIGTERM, leave)
    print("up", flush=True)
    time.sleep(60)
"""


def test_ctrl_c_ends_every_run_and_waits_until_each_has_removed_what_it_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Path] = []

    def interrupt(_: float) -> None:
        files[:] = sorted((bench.context.workspace.results_dir / "sweep-s" / "runs").glob("*.json"))
        if len(files) == 2 and all("up" in file.read_text() for file in files):
            raise KeyboardInterrupt

    monkeypatch.setattr("loadbench.run.sweep.execute.time.sleep", interrupt)
    command = [sys.executable, "-c", textwrap.dedent(SLOW)]
    sweep = bench.sweep(lanes=2, room={"ml.g5.xlarge": 2}, command=lambda *_: command)
    with pytest.raises(InterruptedRunError, match="removed") as caught:
        sweep.run()
    assert "--resume" in caught.value.remedy
    assert [file.read_text().split() for file in files] == [["up", "removed"]] * 2
    assert {run.status for run in bench.record.runs} == {"interrupted"}


def test_runs_of_a_killed_sweep_keep_its_locks(bench: Bench) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SLOW)]
    sweep = os.fork()
    if sweep == 0:
        with contextlib.suppress(BaseException):
            bench.sweep(lanes=1, command=lambda *_: command).run()
        os._exit(0)
    until(lambda: any("up" in file.read_text() for file in bench.context.workspace.home.rglob("*.json")))
    (run,) = psutil.Process(sweep).children()
    os.kill(sweep, signal.SIGKILL)
    os.waitpid(sweep, 0)
    locked = f"started by process {sweep}, which has ended, is running the standard path"
    with pytest.raises(UsageError, match=locked), bench.context.path_lock("standard"):
        pass
    run.terminate()
    until(lambda: not is_locked(bench.context.workspace.private_dir / "standard.lock"))


def test_a_run_that_takes_too_long_is_interrupted_and_left_out(bench: Bench) -> None:
    cells = {name: dataclasses.replace(cell, worst=WorstCase(1.0, 0.4)) for name, cell in bench.cells.items()}
    command = [sys.executable, "-c", textwrap.dedent(SLOW)]
    bench.sweep(lanes=1, cells=cells, command=lambda *_: command).run()
    assert bench.record.runs[0].status == "failed"
    assert bench.record.runs[0].reason == "it exceeded the longest duration of a run"


def test_no_more_run_on_an_instance_type_than_there_is_quota(bench: Bench) -> None:
    sweep = bench.sweep(lanes=4, room={"ml.g5.xlarge": 1})
    most = 0
    start = sweep._start

    def counted(slot: Any) -> None:
        nonlocal most
        start(slot)
        most = max(most, len(sweep._running))

    sweep._start = counted  # type: ignore[method-assign]
    sweep.run()
    assert most == 1


def test_table_and_page_say_the_same(bench: Bench) -> None:
    bench.sweep().run()
    results_dir = bench.context.workspace.results_dir
    result = rank(bench.record, results_dir)
    page = write_page(result, results_dir).read_text()
    rows = table_rows(result)
    assert {len(row) for row in rows} == {len(COLUMNS)}
    for row in rows:
        assert row[2] in page
        assert row[4] in page
    assert "Drift" in "\n".join(summary_lines(result))
    assert "fast · ml.g5.xlarge is the fastest of 3: 50.0 s, faster than the control" in page
    assert "<script" not in page


def test_a_sweep_without_a_run_has_a_page(bench: Bench) -> None:
    assert "no run yet" in render(rank(bench.record, bench.context.workspace.results_dir))
