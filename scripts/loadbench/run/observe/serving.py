"""djl-serving, the front end of the LMI containers: where one began, what it fetched, when it was ready."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from loadbench.results.timeline import Span
from loadbench.run.observe.lines import Entry, LogLine, unwrap

_STARTING = re.compile(r"^Starting model server")
_DOWNLOAD_STARTS = re.compile(r"S3 url found, start downloading from ")
_DOWNLOAD_ENDS = re.compile(r"Download completed!")
# djl-serving's line, then that of vLLM's own server.
_READY = re.compile(
    r"^Model \[[^\]]*\] initialized\.|^Application startup complete\.|^INFO: +Application startup complete\."
)


def attempts(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The log of each container that ran in a stream: one that died is followed by another."""
    starts = [place for place, entry in enumerate(entries) if _STARTING.match(entry.text)]
    edges = [0, *starts[1:], len(entries)]
    for first, last in itertools.pairwise(edges):
        if last > first:
            yield entries[first:last]


def read(entries: Sequence[Entry]) -> list[Span]:
    """What djl-serving itself downloads from S3, before it starts the engine."""
    start_s = first_time(entries, _DOWNLOAD_STARTS)
    end_s = first_time(entries, _DOWNLOAD_ENDS)
    if start_s is None or end_s is None or end_s < start_s:
        return []
    return [Span(name="artifact_download", start_s=start_s, end_s=end_s, clock="container", worker="serving")]


def ready_time(entries: Sequence[Entry]) -> float | None:
    """When the server said that its model can be used, None if it never did."""
    return first_time(entries, _READY)


def told_ready(lines: Sequence[LogLine]) -> bool:
    """Whether some container's log has the line of its readiness."""
    return any(_READY.search(unwrap(line).text) for line in lines)


def first_time(entries: Sequence[Entry], pattern: re.Pattern[str]) -> float | None:
    """Time of the first line with these words."""
    return next((entry.timestamp_s for entry in entries if pattern.search(entry.text)), None)
