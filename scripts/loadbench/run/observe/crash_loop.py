"""Detects a container that crashes repeatedly, so that a run ends before the health check times out.

SageMaker leaves the endpoint in Creating until that timeout, ten minutes by default and up to an hour
(docs/facts/aws-evidence.md#confirmed). A slow start is not a crash: only starts that ended count. They are
detected by `starts.py`: each has a line of a later step before the next one begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from loadbench.foreign_text import shown
from loadbench.run.observe.engines.starts import Start
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.spans import by_stream, cold_starts

# A supervisor may try three times, and the last of these may succeed.
_SAME_REASON = 3
_ANY_REASON = 5
# Concurrent servers of one container start within this time of each other.
_APART_S = 5.0
# The image's program cannot be executed: there is no start to recognize, only this line each time.
_CANNOT_RUN = re.compile(
    r"\bexec\b.*(?:format error|not found|no such file|permission denied)|: (?:command )?not found$",
    re.IGNORECASE,
)
_CHANGING = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class CrashLoop:
    """Starts of one endpoint's containers that all failed, and their last error if a line contains it."""

    starts: int
    seconds: float
    reason: str | None

    def __str__(self) -> str:
        why = f", each with: {shown(self.reason)}" if self.reason else ""
        return (
            f"the container crashes repeatedly: {self.starts} starts in {self.seconds:.0f} s ended"
            f" before the server was ready{why}"
        )


def find_crash_loop(lines: Sequence[LogLine], copies: int = 1) -> CrashLoop | None:
    """The crash loop in the log of an endpoint that is not in service, None while a start may still succeed.

    `copies` is the number of concurrent containers; each may fail once without being a loop.
    """
    streams = sorted(by_stream(lines), key=lambda own: own[0].timestamp_s)
    ended: list[Start] = []
    for place, own in enumerate(streams):
        attempts = cold_starts(own)[0]
        if any(attempt.ready_s is not None for attempt in attempts):
            return None  # one of them became ready, so the others may, too
        # A container that was replaced by one with another stream has also ended.
        replaced = place < len(streams) - copies
        ended += attempts if replaced else attempts[:-1]
    latest = sorted(ended, key=lambda start: start.began_s)[-_SAME_REASON * copies :]
    reasons = {_constant(start.reason) for start in latest}
    if len(latest) == _SAME_REASON * copies and len(reasons) == 1 and None not in reasons:
        return _loop(ended, latest[-1].reason)
    if _count_apart([start.began_s for start in ended]) >= _ANY_REASON * copies:
        return _loop(ended, None)
    return _cannot_run(streams, copies)


def _count_apart(times_s: Sequence[float]) -> int:
    count, last_s = 0, float("-inf")
    for time_s in sorted(times_s):
        if time_s - last_s >= _APART_S:
            count, last_s = count + 1, time_s
    return count


def _cannot_run(streams: Sequence[Sequence[LogLine]], copies: int) -> CrashLoop | None:
    """A container that writes hardly anything but this line; a rank without an optional program goes on."""
    every = [line for own in streams for line in own if line.message.strip()]
    found = [line for line in every if _CANNOT_RUN.search(line.message)]
    times_s = [line.timestamp_s for line in found]
    if (
        _count_apart(times_s) < _ANY_REASON * copies
        or 2 * len(found) < len(every)
        or len({_constant(line.message) for line in found}) != 1
    ):
        return None
    return CrashLoop(len(found), max(times_s) - min(times_s), found[-1].message[:_SHOWN_CHARACTERS])


def _loop(ended: Sequence[Start], reason: str | None) -> CrashLoop:
    began_s = min(start.began_s for start in ended)
    return CrashLoop(len(ended), max(start.entries[-1].timestamp_s for start in ended) - began_s, reason)


def _constant(reason: str | None) -> str | None:
    """A reason without parts that differ each time: addresses, sizes, process ids."""
    return None if reason is None else _CHANGING.sub("#", reason)
