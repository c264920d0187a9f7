"""A series of pairs: interleaved cold starts, each run removed before the next (docs/method.md, rules
1 and 2).
"""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from loadbench.commands_in_messages import as_make
from loadbench.errors import InterruptedRunError, LeftoverError, RunError, UsageError
from loadbench.load_paths import COMPARED_LOAD_PATHS, LoadPath
from loadbench.results.run_index import list_summaries
from loadbench.results.run_record import Pair, RunRecord, load_record, record_file
from loadbench.run.active_runs import latest_record
from loadbench.run.removal.deployed_runs import deployed_by
from loadbench.run.removal.remove_run import remove_run
from loadbench.run.run_context import RunContext
from loadbench.run.runner import run_path
from loadbench.run.series_plan import Slot, plan_series

RunOnce = Callable[[RunContext, LoadPath, Pair | None], RunRecord]


def new_series_id(context: RunContext) -> str:
    """An id for a new series; sorts by time."""
    return f"{datetime.datetime.fromtimestamp(context.clock(), datetime.UTC):%Y%m%d-%H%M%S}"


def reuse_or_run(
    context: RunContext, load_paths: Sequence[LoadPath] = COMPARED_LOAD_PATHS
) -> tuple[list[RunRecord], set[str]]:
    """One record per method: the newest with this configuration, or a new run that is removed again.

    Also returns the ids of the records that were found.
    """
    records, found = [], set()
    for load_path in load_paths:
        record = latest_record(context, load_path)
        if record is None:
            record = run_and_remove(context, load_path, None)
        else:
            found.add(record.run_id)
        records.append(record)
    return records, found


def run_series(
    context: RunContext,
    series_id: str,
    load_paths: Sequence[LoadPath] = COMPARED_LOAD_PATHS,
    *,
    resume: bool,
    run: RunOnce | None = None,
) -> list[RunRecord]:
    """All runs of a series of pairs (or of groups, with more than two `load_paths`).

    The first failed run ends the series: later runs would cost money without a partner to compare with. With
    `resume`, successful runs are not repeated; failed ones remain in the list of records.
    """
    settings = context.config.benchmark
    slots = plan_series(settings.pairs, settings.seed, load_paths)
    records = series_records(context, series_id) if resume else []
    done = {
        (record.pair.index, record.path) for record in records if record.pair and record.status == "succeeded"
    }
    remaining = [slot for slot in slots if (slot.index, slot.path) not in done]
    for number, slot in enumerate(remaining):
        context.ui.position(f"{len(slots) - len(remaining) + number + 1}/{len(slots)}")
        context.ui.note(_where_we_are(context, slot, load_paths, records, remaining[number:]))
        pair = Pair(series_id=series_id, index=slot.index, position=slot.position, seed=settings.seed)
        with _resumable(context, len(slots), len(slots) - len(remaining) + number):
            (run or run_and_remove)(context, slot.path, pair)
        records = series_records(context, series_id)
    context.ui.position("")
    return records


@contextmanager
def _resumable(context: RunContext, total: int, done: int) -> Iterator[None]:
    """Adds to a failure or Ctrl-C how far the series got, and how to continue."""
    try:
        yield
    except LeftoverError:
        raise
    except (RunError, InterruptedRunError) as error:
        if done:
            words = [word for word in context.command if word != "--resume"]
            again = as_make([*words, "--resume"])
            kept = f"{done} of {total} runs of the series are complete. To continue: {again}"
            error.remedy = f"{error.remedy} {kept}".strip()
        raise


def series_records(context: RunContext, series_id: str) -> list[RunRecord]:
    """All finished records of one series, oldest first."""
    results_dir = context.workspace.results_dir
    return [
        load_record(record_file(results_dir, point.run_id))
        for point in list_summaries(results_dir).points
        if point.pair and point.pair.series_id == series_id and point.status in ("succeeded", "failed")
    ]


def last_series(context: RunContext) -> str:
    """The newest series with this configuration. Raises UsageError if there is none to resume."""
    for point in reversed(list_summaries(context.workspace.results_dir).points):
        if point.pair and point.configuration_digest == context.config.digest:
            return point.pair.series_id
    raise UsageError(
        "there is no interrupted series of this configuration to resume",
        remedy="Omit --resume to start one.",
    )


def run_and_remove(
    context: RunContext, load_path: LoadPath, pair: Pair | None, *, beside_others: bool = False
) -> RunRecord:
    """One cold run, removed again whether it succeeded or not. `beside_others` as in `run_path`."""
    record = run_path(context, load_path, pair=pair, beside_others=beside_others)
    with context.ui.step(f"{load_path}: removing the endpoint"):
        record.destroyed_s = remove_run(context, deployed_by(record))
    return record


def _where_we_are(
    context: RunContext,
    slot: Slot,
    load_paths: Sequence[LoadPath],
    records: Sequence[RunRecord],
    remaining: Sequence[Slot],
) -> str:
    total = context.config.benchmark.pairs
    text = f"pair {slot.index + 1} of {total}, {slot.path}"
    typical = {
        load_path: statistics.median(lengths)
        for load_path in load_paths
        if (lengths := [r.finished_s - r.started_s for r in records if r.path == load_path and r.finished_s])
    }
    if slot.path in typical:
        text += f" (took {typical[slot.path]:.0f} s so far)"
    if len(typical) == len(load_paths):
        left_s = sum(typical[item.path] for item in remaining)
        text += f", about {left_s / 60:.1f} min left"
    return text
