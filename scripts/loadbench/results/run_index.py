"""An index of run summaries, so that ten thousand records are listed in a second.

The index is a cache: summaries of changed records are recomputed, a deleted or damaged index is rebuilt, and
a read-only folder is read without it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from loadbench.errors import UsageError
from loadbench.instance_types import data_file
from loadbench.results.run_record import load_record, write_atomically
from loadbench.results.run_summary import RunSummary, point_of

_NAME = ".index"


@dataclass(frozen=True)
class Listing:
    """All runs, oldest first, and the folders with an unreadable record, with the reason."""

    points: list[RunSummary]
    unreadable: dict[str, str]


@dataclass(frozen=True)
class _Entry:
    stamp: str
    text: str


def list_summaries(results_dir: Path) -> Listing:
    """A summary of every run under `results_dir`. An unreadable record is reported, not fatal."""
    known = _read_index(results_dir)
    entries: dict[str, _Entry] = {}
    found: list[RunSummary] = []
    unreadable: dict[str, str] = {}
    changed = False
    for run_id, stamp in _stamps(results_dir):
        point = _cached(known.get(run_id), stamp)
        if point is not None:
            entries[run_id] = known[run_id]
        else:
            try:
                point = point_of(load_record(results_dir / run_id / "run.json"))
            except UsageError as error:
                unreadable[run_id] = error.message
                continue
            entries[run_id] = _Entry(stamp, point.model_dump_json())
            changed = True
        found.append(point)
    if changed or len(entries) != len(known):
        _write_index(results_dir, entries)
    return Listing(found, unreadable)


def latest(found: Sequence[RunSummary], load_path: str, configuration_digest: str) -> RunSummary | None:
    """The newest successful run of a load path with the same configuration, None if there is none."""
    return next(
        (
            point
            for point in reversed(found)
            if point.path == load_path and point.usable and point.configuration_digest == configuration_digest
        ),
        None,
    )


def _stamps(results_dir: Path) -> list[tuple[str, str]]:
    """(run id, a stamp that changes with its record), in chronological order."""
    try:
        folders = [entry.name for entry in os.scandir(results_dir) if entry.is_dir()]
    except FileNotFoundError:
        return []
    stamps = []
    for name in sorted(folders):
        try:
            state = os.stat(f"{results_dir}/{name}/run.json")  # noqa: PTH116 - a Path costs more than the call
        except (FileNotFoundError, NotADirectoryError):
            continue  # a comparison, or a run that ended before its first save
        stamps.append((name, f"{state.st_mtime_ns}-{state.st_size}-{state.st_ino}"))
    return stamps


def _cached(entry: _Entry | None, stamp: str) -> RunSummary | None:
    if entry is None or entry.stamp != stamp:
        return None
    try:
        return RunSummary.model_validate_json(entry.text)
    except ValidationError:
        return None


def _read_index(results_dir: Path) -> dict[str, _Entry]:
    try:
        version, _, body = (results_dir / _NAME).read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    if version != _version():
        return {}
    rows = (line.split("\t", 2) for line in body.splitlines())
    return {row[0]: _Entry(row[1], row[2]) for row in rows if len(row) == 3}


def _write_index(results_dir: Path, entries: dict[str, _Entry]) -> None:
    lines = [_version(), *(f"{run_id}\t{entry.stamp}\t{entry.text}" for run_id, entry in entries.items())]
    try:
        write_atomically(results_dir / _NAME, "\n".join(lines) + "\n")
    except OSError:
        return  # results in a read-only folder are listed without an index, only slower


@cache
def _version() -> str:
    """Changes with the code and the prices that summaries depend on."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for name in ("run_summary.py", "timeline.py", "run_record.py", "costs.py"):
        digest.update((here / name).read_bytes())
    digest.update(data_file().read_bytes())
    return digest.hexdigest()[:16]
