"""Finer phases from log lines that report the end of a step.

An engine logs the end of a step, sometimes with its duration. The time between two known lines is therefore
attributed to the step that the second one ends; if that line has a duration, only that duration. The rest of
the time has no finer phase.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from loadbench.results.timeline import DetailName, Span
from loadbench.run.observe.lines import Entry


@dataclass(frozen=True)
class Milestone:
    """A line and the phase that it ends.

    A group `seconds` in the pattern is the phase's duration; `before` names the phase between the previous
    line and the start of this phase. With `total`, the seconds include parts of the phase reported earlier.
    """

    name: DetailName
    pattern: re.Pattern[str]
    before: DetailName | None = None
    total: bool = False


def milestone(
    name: DetailName, pattern: str, before: DetailName | None = None, *, total: bool = False
) -> Milestone:
    """A milestone from the text of a pattern."""
    return Milestone(name, re.compile(pattern), before, total)


def find_details(
    entries: Sequence[Entry], milestones: Sequence[Milestone], start_s: float, end_s: float
) -> list[Span]:
    """The finer phases between two moments, in order and without overlaps."""
    pieces: list[tuple[DetailName, float, float]] = []
    reached_s = start_s
    for entry in sorted(entries, key=lambda entry: entry.timestamp_s):
        if not start_s <= entry.timestamp_s <= end_s:
            continue
        found = next(
            ((item, match) for item in milestones if (match := item.pattern.search(entry.text))), None
        )
        if found is None:
            continue
        item, match = found
        for name, until_s in _steps(item, match, entry.timestamp_s, reached_s, pieces):
            if name and until_s > reached_s:
                pieces.append((name, reached_s, until_s))
            reached_s = max(reached_s, until_s)
    return _merged(pieces)


def _steps(
    item: Milestone,
    match: re.Match[str],
    at_s: float,
    reached_s: float,
    pieces: Sequence[tuple[DetailName, float, float]],
) -> list[tuple[DetailName | None, float]]:
    """The time since the previous line, as (phase or None, end)."""
    if "seconds" not in match.re.groupindex:
        return [(item.name, at_s)]
    seconds = float(match["seconds"])
    if item.total:
        known_s = sum(end_s - start_s for name, start_s, end_s in pieces if name == item.name)
        return [(item.name, min(at_s, reached_s + max(0.0, seconds - known_s))), (item.before, at_s)]
    return [(item.before, max(reached_s, at_s - seconds)), (item.name, at_s)]


def _merged(pieces: Sequence[tuple[DetailName, float, float]]) -> list[Span]:
    merged: list[tuple[DetailName, float, float]] = []
    for name, start_s, end_s in pieces:
        if merged and merged[-1][0] == name and merged[-1][2] == start_s:
            merged[-1] = (name, merged[-1][1], end_s)
        else:
            merged.append((name, start_s, end_s))
    return [Span(name=name, start_s=a, end_s=b, clock="container") for name, a, b in merged]
