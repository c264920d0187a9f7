"""Functions for the command line: find records, compare them, save and show comparisons."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from loadbench.commands_in_messages import typed_here
from loadbench.errors import RunError, UsageError
from loadbench.load_paths import LoadPath
from loadbench.results.ci_gate import check_limit
from loadbench.results.comparison.compare import compare
from loadbench.results.comparison.model import Comparison, ReusedRun, load_comparison
from loadbench.results.comparison.scale_out import make_section
from loadbench.results.reports import write_reports
from loadbench.results.reports.run_screen import print_run
from loadbench.results.reports.starts_screen import print_starts
from loadbench.results.reports.terminal import WIDTH, print_comparison, print_scale_out
from loadbench.results.run_record import RunRecord
from loadbench.results.scale_out_record import ScaleOutRecord, scale_outs_of
from loadbench.results.select_runs import COMPARISON_PREFIX, comparison_folder, recorded_runs, sides_of


def compare_each(
    records: Sequence[RunRecord],
    results_dir: Path,
    *,
    baseline: Sequence[str] = (),
    order: Sequence[LoadPath] | None = None,
    reused: Collection[str] = (),
) -> list[Comparison]:
    """Compare, and write every report into the folder of its comparison.

    One comparison for each path of a baseline; without one, one comparison of all paths with the first of
    `order` (default: that of `LOAD_PATHS`). `reused` has the ids of runs that an earlier command made.
    """
    created_s = time.time()
    before = recorded_runs(results_dir, baseline)
    comparisons = [
        compare(
            runs,
            other,
            created_s=created_s,
            scale_outs=scale_outs_of(results_dir, [record.run_id for record in (*runs, *other)]),
        )
        for runs, other in sides_of(records, before, order)
    ]
    if len(comparisons) > 1 and not before:
        first, *others = comparisons
        comparisons = [first.model_copy(update={"others": others})]
    found = [
        ReusedRun(run_id=record.run_id, path=record.path, age_s=created_s - record.started_s)
        for record in records
        if record.run_id in reused
    ]
    comparisons = [_typed_here(comparison, found, results_dir.parent) for comparison in comparisons]
    for comparison in comparisons:
        write_reports(comparison, comparison_folder(results_dir, comparison.comparison_id))
    return comparisons


def _typed_here(comparison: Comparison, reused: list[ReusedRun], home: Path) -> Comparison:
    """The comparison with the commands in its sentences adapted to `home`."""
    verdict = comparison.verdict
    return comparison.model_copy(
        update={
            "verdict": verdict.model_copy(
                update={"next_command": verdict.next_command and typed_here(verdict.next_command, home)}
            ),
            "warnings": [typed_here(text, home) for text in comparison.warnings],
            "scale_out": comparison.scale_out
            and comparison.scale_out.model_copy(
                update={"sentence": typed_here(comparison.scale_out.sentence, home)}
            ),
            "others": [_typed_here(other, [], home) for other in comparison.others],
            "reused_runs": reused,
        }
    )


def latest_comparison_id(results_dir: Path) -> str:
    """The newest comparison. Raises UsageError if there is none."""
    folders = sorted(results_dir.glob(f"{COMPARISON_PREFIX}*/comparison.json"))
    if not folders:
        raise UsageError("there is no comparison yet", remedy="Make one with `make compare`.")
    return folders[-1].parent.name.removeprefix(COMPARISON_PREFIX)


def show(results_dir: Path, comparison_id: str, *, every_row: bool = False) -> None:
    """Print a saved comparison, and the path of its report."""
    folder = comparison_folder(results_dir, comparison_id)
    console = _console()
    print_comparison(load_comparison(folder), console, every_row=every_row)
    if not every_row:
        more = typed_here("make report ARGS=--all", results_dir.parent)
        console.print(f"\nEvery phase and measure: {more}", soft_wrap=True)
    _show_page(console, folder)


def show_run(record: RunRecord, results_dir: Path) -> None:
    """Print one run, and the path of its files."""
    console = _console()
    print_run(record, console)
    console.print(f"\nEverything about this run: {results_dir / record.run_id}", soft_wrap=True)


def show_starts(records: Sequence[RunRecord], results_dir: Path) -> None:
    """Print the starts of one endpoint, and the command that shows one of them."""
    console = _console()
    print_starts(records, console)
    console.print(f"\nEach start is a run: loadbench show {records[-1].run_id}", soft_wrap=True)


def show_scale_outs(
    runs: Sequence[RunRecord],
    scale_outs: Sequence[ScaleOutRecord],
    comparisons: Sequence[Comparison],
    results_dir: Path,
) -> None:
    """Print these scale-outs, the first load path compared with each other one, and the paths of
    their pages.
    """
    console = _console()
    first, *others = [(run.path, [run]) for run in runs]
    for other in others or [("", [])]:
        section = make_section(first, other, scale_outs)
        if section:
            sentence = typed_here(section.sentence, results_dir.parent)
            print_scale_out(section.model_copy(update={"sentence": sentence}), console)
    for comparison in comparisons:
        _show_page(console, comparison_folder(results_dir, comparison.comparison_id))


def require_success(comparison: Comparison) -> None:
    """Raise RunError if a loading method has no successful run: then there is nothing to compare."""
    for part in comparison.parts:
        if part.verdict.kind == "incomplete":
            raise RunError(part.verdict.sentence, remedy="Fix what the warnings name, then run it again.")


def require_not_slower(comparison: Comparison, limit_ratio: float) -> None:
    """For continuous integration: raises RunError if `b` provably takes more than `limit_ratio` times as long
    as `a`.
    """
    for part in comparison.parts:
        gate = check_limit(part, limit_ratio)
        if gate.failed:
            raise RunError(
                gate.sentence, remedy=f"comparison-{comparison.comparison_id} shows the phase that grew."
            )


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH  # a file or a pipe has none
    return console


def _show_page(console: Console, folder: Path) -> None:
    console.print(f"Report with charts: {folder / 'report.html'}", soft_wrap=True)
