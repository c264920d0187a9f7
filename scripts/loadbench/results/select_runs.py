"""Finds the recorded runs that a user names, and decides which are compared with which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loadbench.errors import UsageError
from loadbench.load_paths import LOAD_PATHS, LoadPath
from loadbench.results.comparison.model import load_comparison
from loadbench.results.run_record import RunRecord, load_record, record_file

COMPARISON_PREFIX = "comparison-"
Sides = tuple[list[RunRecord], list[RunRecord]]


def recorded_runs(results_dir: Path, names: Sequence[str]) -> list[RunRecord]:
    """The records for these names: run ids, comparisons by id or folder name, or paths of folders and files.

    Each record once, in the order of the names. Raises UsageError for an unknown name.
    """
    files = dict.fromkeys(file for name in names for file in _record_files(results_dir, name))
    return [load_record(file) for file in files]


def _record_files(results_dir: Path, name: str) -> list[Path]:
    for place in (results_dir / name, comparison_folder(results_dir, name), Path(name)):
        folder = place.parent if is_file(place) else place
        if place.name != "comparison.json" and is_file(folder / "run.json"):
            return [folder / "run.json"]
        if place.name != "run.json" and is_file(folder / "comparison.json"):
            comparison = load_comparison(folder)
            return [
                record_file(folder.parent, run.run_id)
                for side in (comparison.a, comparison.b)
                for run in side.runs
            ]
    raise UsageError(
        f"no run or comparison named {name[:100]!r} in {results_dir}",
        remedy=f"The names are those of the folders: ls {results_dir}",
    )


def is_file(path: Path) -> bool:
    """Whether the file exists; False for an invalid file name."""
    try:
        return path.is_file()
    except OSError:  # the name is too long, or its folder cannot be read
        return False


def comparison_folder(results_dir: Path, comparison_id: str) -> Path:
    """The folder of a comparison, from its id or its folder's name."""
    return results_dir / f"{COMPARISON_PREFIX}{comparison_id.removeprefix(COMPARISON_PREFIX)}"


def sides_of(
    records: Sequence[RunRecord], baseline: Sequence[RunRecord], order: Sequence[LoadPath] | None = None
) -> list[Sides]:
    """Which runs are compared, each as (runs, their baseline; empty if load paths are compared).

    With a baseline: each path with the baseline's same path, or all with all when they share none. Without
    one: each path with the first in `order` (default: that of `PATHS`), or the first of several runs of one
    path with the others.
    """
    known = {record.run_id for record in baseline}
    runs = [record for record in records if record.run_id not in known]
    paths = list(dict.fromkeys(record.path for record in runs))
    if records and not runs:
        raise UsageError(
            "all of these runs belong to the baseline: there is nothing to compare with it",
            remedy="Name other runs, or omit --baseline.",
        )
    if not baseline:
        if len(paths) < 2:
            return [(runs[1:], runs[:1])] if len(runs) > 1 else [(runs, [])]
        first, *others = sorted(paths, key=[*(order or LOAD_PATHS), *paths].index)
        return [(_of_path(runs, other), _of_path(runs, first)) for other in others]
    shared = [load_path for load_path in paths if any(record.path == load_path for record in baseline)]
    if not shared:
        return [(runs, list(baseline))]
    return [(_of_path(runs, load_path), _of_path(baseline, load_path)) for load_path in shared]


def _of_path(records: Sequence[RunRecord], load_path: str) -> list[RunRecord]:
    return [record for record in records if record.path == load_path]
