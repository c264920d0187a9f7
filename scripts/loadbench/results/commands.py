"""What the command line asks of this wing: find records, compare them, keep and show comparisons."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from loadbench.errors import RunError, UsageError
from loadbench.load_paths import LoadPath
from loadbench.results.ci_gate import check_limit
from loadbench.results.comparison.compare import compare
from loadbench.results.comparison.model import Comparison, load_comparison
from loadbench.results.comparison.scale_out import make_section
from loadbench.results.reports import write_reports
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
) -> list[Comparison]:
    """Compare, and write every report into each comparison's own folder.

    One comparison for each path of a baseline; without one, each path against the first of `order` (default:
    that of `PATHS`).
    """
    comparisons = [
        compare(
            runs,
            before,
            created_s=time.time(),
            scale_outs=scale_outs_of(results_dir, [record.run_id for record in (*runs, *before)]),
        )
        for runs, before in sides_of(records, recorded_runs(results_dir, baseline), order)
    ]
    for comparison in comparisons:
        write_reports(comparison, comparison_folder(results_dir, comparison.comparison_id))
    return comparisons


def latest_comparison_id(results_dir: Path) -> str:
    """The newest comparison; UsageError without one."""
    folders = sorted(results_dir.glob(f"{COMPARISON_PREFIX}*/comparison.json"))
    if not folders:
        raise UsageError("there is no comparison yet", remedy="Make one with `make compare`.")
    return folders[-1].parent.name.removeprefix(COMPARISON_PREFIX)


def show(results_dir: Path, comparison_id: str) -> None:
    """Print a saved comparison and where its files lie."""
    folder = comparison_folder(results_dir, comparison_id)
    console = _console()
    print_comparison(load_comparison(folder), console)
    _show_page(console, folder)


def show_scale_outs(
    runs: Sequence[RunRecord],
    scale_outs: Sequence[ScaleOutRecord],
    comparisons: Sequence[Comparison],
    results_dir: Path,
) -> None:
    """Print these scale-outs, the first run's path beside each other one, and where their pages lie."""
    console = _console()
    first, *others = [(run.path, [run]) for run in runs]
    for other in others or [("", [])]:
        section = make_section(first, other, scale_outs)
        if section:
            print_scale_out(section, console)
    for comparison in comparisons:
        _show_page(console, comparison_folder(results_dir, comparison.comparison_id))


def require_not_slower(comparison: Comparison, limit_ratio: float) -> None:
    """For continuous integration: RunError when `b` is shown to take more than `limit_ratio` times `a`."""
    gate = check_limit(comparison, limit_ratio)
    if gate.failed:
        raise RunError(
            gate.sentence, remedy=f"comparison-{comparison.comparison_id} shows the phase that grew."
        )


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH  # a file or a pipe has no width of its own
    return console


def _show_page(console: Console, folder: Path) -> None:
    console.print(f"\nThe whole story with charts: {folder / 'report.html'}", soft_wrap=True)
