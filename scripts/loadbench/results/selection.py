"""Recorded runs compared later: what the user names, two sides out of it, and a limit for CI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadbench.errors import UsageError
from loadbench.results.comparison import compare
from loadbench.results.comparison_model import Comparison, load_comparison
from loadbench.results.records import RunRecord, load_record, record_file

COMPARISON_PREFIX = "comparison-"


@dataclass(frozen=True)
class Gate:
    """Whether `b` may be that slow."""

    failed: bool
    sentence: str


def comparison_folder(results_dir: Path, comparison: Comparison) -> Path:
    """Where a comparison's reports lie."""
    return results_dir / f"{COMPARISON_PREFIX}{comparison.comparison_id}"


def newest_comparison(results_dir: Path) -> Comparison | None:
    """The comparison made last, None without any."""
    files = sorted(results_dir.glob(f"{COMPARISON_PREFIX}*/comparison.json"))
    return load_comparison(files[-1]) if files else None


def compare_recorded(
    results_dir: Path, names: Sequence[str], baseline_names: Sequence[str] = (), *, created_s: float
) -> list[Comparison]:
    """Compare runs and comparisons by name.

    With a baseline: each path against the baseline's same path, or the two against each other when they share
    none. Without one: standard against fast, or the first of several runs of one path against the others.
    Raises UsageError when a name is not found or there are not two sides.
    """
    records = _records(results_dir, names)
    baseline = _records(results_dir, baseline_names)
    paths = list(dict.fromkeys(record.path for record in records))
    if not baseline and len(paths) == 1 and len(records) > 1:
        records, baseline = records[1:], records[:1]
    if not baseline:
        return [compare(records, created_s=created_s)]
    shared = [path for path in paths if any(record.path == path for record in baseline)]
    if not shared:
        return [compare(records, baseline, created_s=created_s)]
    return [compare(_of(records, path), _of(baseline, path), created_s=created_s) for path in shared]


def _of(records: Sequence[RunRecord], path: str) -> list[RunRecord]:
    return [record for record in records if record.path == path]


def _records(results_dir: Path, names: Sequence[str]) -> list[RunRecord]:
    files = dict.fromkeys(file for name in names for file in _record_files(results_dir, name))
    return [load_record(file) for file in files]


def _record_files(results_dir: Path, name: str) -> list[Path]:
    """A run id, a comparison's id or folder name, or the path of a folder or file of either."""
    for place in (results_dir / name, results_dir / f"{COMPARISON_PREFIX}{name}", Path(name)):
        if place.name == "run.json" and place.is_file():
            return [place]
        if (place / "run.json").is_file():
            return [place / "run.json"]
        if (place / "comparison.json").is_file() or (place.name == "comparison.json" and place.is_file()):
            comparison = load_comparison(place)
            folder = place if place.is_dir() else place.parent
            return [
                record_file(folder.parent, run.run_id)
                for side in (comparison.a, comparison.b)
                for run in side.runs
            ]
    raise UsageError(
        f"no run and no comparison is called {name!r} in {results_dir}",
        remedy=f"Its folder has the name: ls {results_dir}",
    )


def check_limit(comparison: Comparison, limit: float) -> Gate:
    """Whether `b` took more than `limit` times as long as `a`: for `--fail-if-slower-than`.

    With an interval it fails when all of it lies above the limit, so that noise alone seldom does; with one
    run of each the figure decides. Nothing to compare fails too: a gate that cannot see does not open.
    Raises UsageError for a limit that is not above 0.
    """
    if not limit > 0:
        raise UsageError(
            f"the limit {limit:g} is not above 0", remedy="For example: --fail-if-slower-than 1.05"
        )
    estimate = comparison.estimate
    if estimate is None:
        return Gate(True, f"Nothing to hold against the limit ×{limit:g}: {comparison.verdict.sentence}")
    slowdown = 1 / estimate.ratio
    took = f"{comparison.b.label} took ×{slowdown:.3f} of {comparison.a.label}"
    if estimate.high is None or estimate.low is None:
        failed = slowdown > limit
        basis = "one run of each, no interval"
    else:
        failed = 1 / estimate.high > limit
        basis = f"95 % {1 / estimate.high:.3f}–{1 / estimate.low:.3f}"
    return Gate(failed, f"{took} ({basis}): {'slower than' if failed else 'within'} the limit ×{limit:g}.")
