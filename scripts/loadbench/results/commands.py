"""What the command line asks of this wing: find records, compare them, keep and show comparisons."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from loadbench.errors import RunError, UsageError
from loadbench.results.comparison import compare
from loadbench.results.comparison_model import Comparison, load_comparison
from loadbench.results.records import RunRecord, load_record, record_file
from loadbench.results.reports import write_reports
from loadbench.results.reports.terminal import print_comparison

_PREFIX = "comparison-"


def recorded_runs(results_dir: Path, names: Sequence[str]) -> list[RunRecord]:
    """The records of runs named by id, folder or comparison; UsageError names what is not there."""
    records: dict[str, RunRecord] = {}
    for name in names:
        for run_id in _run_ids(results_dir, name):
            records[run_id] = load_record(record_file(results_dir, run_id))
    return list(records.values())


def _run_ids(results_dir: Path, name: str) -> list[str]:
    name = Path(name).name
    if (results_dir / name).is_dir() and not name.startswith(_PREFIX):
        return [name]
    folder = results_dir / f"{_PREFIX}{name.removeprefix(_PREFIX)}"
    if folder.is_dir():
        comparison = load_comparison(folder)
        return [run.run_id for side in (comparison.a, comparison.b) for run in side.runs]
    raise UsageError(
        f"there is no run or comparison {name} in {results_dir}",
        remedy="Look into the results folder for the names.",
    )


def compare_records(
    records: Sequence[RunRecord], results_dir: Path, *, baseline: Sequence[str] = ()
) -> Comparison:
    """Compare, and write every report into the comparison's own folder."""
    apart = recorded_runs(results_dir, baseline)
    known = {record.run_id for record in apart}
    comparison = compare([r for r in records if r.run_id not in known], apart, created_s=time.time())
    write_reports(comparison, folder_of(results_dir, comparison.comparison_id))
    return comparison


def folder_of(results_dir: Path, comparison_id: str) -> Path:
    """Where the files of a comparison lie."""
    return results_dir / f"{_PREFIX}{comparison_id.removeprefix(_PREFIX)}"


def latest_comparison_id(results_dir: Path) -> str:
    """The newest comparison; UsageError without one."""
    folders = sorted(results_dir.glob(f"{_PREFIX}*/comparison.json"))
    if not folders:
        raise UsageError("there is no comparison yet", remedy="Make one with `make compare`.")
    return folders[-1].parent.name.removeprefix(_PREFIX)


def show(results_dir: Path, comparison_id: str) -> None:
    """Print a saved comparison and where its files lie."""
    folder = folder_of(results_dir, comparison_id)
    console = Console(highlight=False)
    print_comparison(load_comparison(folder), console)
    console.print(f"\nThe whole story with charts: {folder / 'report.html'}", soft_wrap=True)


def require_not_slower(comparison: Comparison, limit_ratio: float) -> None:
    """For continuous integration: RunError when `b` takes more than `limit_ratio` times what `a` takes."""
    a, b = comparison.a.time_to_ready, comparison.b.time_to_ready
    if a is None or b is None:
        raise RunError("a side has no successful run, so nothing is shown", remedy="Run it again.")
    ratio = 1 / comparison.estimate.ratio if comparison.estimate else b.mean / a.mean
    if ratio > limit_ratio:
        raise RunError(
            f"{comparison.b.label} takes {ratio:.2f} times what {comparison.a.label} takes,"
            f" more than the allowed {limit_ratio:.2f}",
            remedy=f"See {comparison.comparison_id} for the phase that grew.",
        )
