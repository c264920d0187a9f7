"""Lists the recorded comparisons and runs of a folder, the newest first."""

from __future__ import annotations

from pathlib import Path

from loadbench.errors import UsageError
from loadbench.results import formatting
from loadbench.results.comparison.model import load_comparison
from loadbench.results.run_index import list_summaries
from loadbench.results.select_runs import COMPARISON_PREFIX

COLUMNS = ["id", "methods", "target", "cold start", "result"]


def list_results(results_dir: Path, kind: str | None = None) -> tuple[list[list[str]], dict[str, str]]:
    """A row for each comparison and run, or for one `kind`; and the unreadable ones with the reason."""
    listing = list_summaries(results_dir)
    rows, unreadable = [], dict(listing.unreadable)
    if kind != "comparisons":
        rows += [
            [
                run.run_id,
                run.path,
                run.target,
                formatting.seconds(run.time_to_ready_s) if run.usable else formatting.MISSING,
                run.status,
            ]
            for run in listing.points
        ]
    for folder in sorted(results_dir.glob(f"{COMPARISON_PREFIX}*")) if kind != "runs" else []:
        try:
            comparison = load_comparison(folder)
        except UsageError as error:
            unreadable[folder.name] = error.message
            continue
        medians = [side.time_to_ready.median if side.time_to_ready else None for side in comparison.sides]
        rows.append(
            [
                folder.name,
                ", ".join(side.label for side in comparison.sides),
                comparison.system.get("target", ""),
                ", ".join(formatting.seconds(median_s) for median_s in medians),
                "; ".join(part.verdict.sentence for part in comparison.parts),
            ]
        )
    return sorted(rows, key=lambda row: row[0].removeprefix(COMPARISON_PREFIX), reverse=True), unreadable
