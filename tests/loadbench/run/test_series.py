"""A series of pairs: complete, balanced by chance, and the same again from the same seed."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from loadbench.config import load_config
from loadbench.errors import InterruptedRunError, LoadbenchError, RunError
from loadbench.load_paths import LoadPath
from loadbench.results.run_record import Pair, RunRecord, save_record
from loadbench.run.run_context import RunContext
from loadbench.run.series import reuse_or_run, run_series, series_records
from loadbench.run.series_plan import plan_series
from loadbench.ui import Ui
from loadbench.workspace import Workspace
from tests.loadbench.results.builders import make_record

ROOT = Path(__file__).resolve().parents[3]

LOAD_PATHS: tuple[LoadPath, ...] = ("standard", "fast")


def test_every_pair_has_each_path_once_and_side_by_side() -> None:
    slots = plan_series(7, seed=3, load_paths=LOAD_PATHS)
    assert [slot.index for slot in slots] == [index for index in range(7) for _ in LOAD_PATHS]
    for index in range(7):
        assert {slot.path for slot in slots if slot.index == index} == set(LOAD_PATHS)


def test_the_order_comes_from_the_seed_alone() -> None:
    assert plan_series(20, seed=1, load_paths=LOAD_PATHS) == plan_series(20, seed=1, load_paths=LOAD_PATHS)
    assert plan_series(20, seed=1, load_paths=LOAD_PATHS) != plan_series(20, seed=2, load_paths=LOAD_PATHS)


def test_a_longer_series_starts_like_the_shorter_one() -> None:
    assert plan_series(9, seed=5, load_paths=LOAD_PATHS)[:8] == plan_series(4, seed=5, load_paths=LOAD_PATHS)


def test_neither_path_goes_first_always() -> None:
    first = Counter(
        slot.path for slot in plan_series(200, seed=0, load_paths=LOAD_PATHS) if slot.position == 0
    )
    assert min(first[path] for path in LOAD_PATHS) > 60


class Runs:
    """Replaces a deployment: writes a record, and fails in the given runs."""

    def __init__(self, results_dir: Path, failures: dict[int, LoadbenchError]) -> None:
        self.results_dir = results_dir
        self.failures = failures
        self.made: list[str] = []

    def __call__(self, context: RunContext, load_path: LoadPath, pair: Pair | None) -> RunRecord:
        number = len(self.made)
        self.made.append(load_path)
        failure = self.failures.get(number)
        record = make_record(
            load_path, number=number, pair=pair, target="local", status="failed" if failure else "succeeded"
        )
        save_record(self.results_dir, record)
        if failure:
            raise failure
        return record


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext(
        config=load_config(ROOT / "config.yaml", ["benchmark.pairs=3"]),
        workspace=Workspace(ROOT, tmp_path),
        account=cast(Any, SimpleNamespace(session=None)),
        ui=Ui(Console(file=io.StringIO())),
        command=["loadbench", "compare", "--pairs", "3"],
    )


def test_a_failed_run_ends_the_series_before_the_next_one_is_paid_for(context: RunContext) -> None:
    runs = Runs(context.workspace.results_dir, {1: RunError("no capacity", remedy="Try later.")})
    with pytest.raises(RunError, match="no capacity") as caught:
        run_series(context, "s", resume=False, run=runs)
    assert len(runs.made) == 2
    assert caught.value.remedy.startswith("Try later. 1 of 6 runs of the series are complete.")
    assert "make compare PAIRS=3 ARGS=--resume" in caught.value.remedy


def test_an_interrupted_series_names_what_continues_it(context: RunContext) -> None:
    runs = Runs(context.workspace.results_dir, {3: InterruptedRunError("stopped")})
    with pytest.raises(InterruptedRunError) as caught:
        run_series(context, "s", resume=False, run=runs)
    assert "3 of 6 runs" in caught.value.remedy
    assert "--resume" in caught.value.remedy


def test_resume_repeats_the_failed_run_and_keeps_its_record(context: RunContext) -> None:
    runs = Runs(context.workspace.results_dir, {1: RunError("no capacity")})
    with pytest.raises(RunError):
        run_series(context, "s", resume=False, run=runs)
    records = run_series(context, "s", resume=True, run=runs)
    assert len(runs.made) == 7  # six that succeed, one that failed
    assert Counter(record.status for record in records) == {"succeeded": 6, "failed": 1}
    done = [
        (r.pair.index, r.path) for r in series_records(context, "s") if r.pair and r.status == "succeeded"
    ]
    assert len(set(done)) == 6


def test_a_first_run_that_fails_has_nothing_to_resume(context: RunContext) -> None:
    runs = Runs(context.workspace.results_dir, {0: RunError("no capacity")})
    with pytest.raises(RunError) as caught:
        run_series(context, "s", resume=False, run=runs)
    assert "--resume" not in caught.value.remedy


def test_recorded_runs_are_named_as_found(context: RunContext) -> None:
    for path in ("standard", "fast"):
        record = make_record(path, target="local")
        record.configuration_digest = context.config.digest
        save_record(context.workspace.results_dir, record)
    records, found = reuse_or_run(context)
    assert {record.run_id for record in records} == found
    assert len(found) == 2
