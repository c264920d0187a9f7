"""What a log gives: lines with the log service's time, and the spans that a dialect reads in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from loadbench.results.timeline import Span


@dataclass(frozen=True)
class LogLine:
    """One event of a log stream. `timestamp_s` is the service's, in epoch seconds."""

    timestamp_s: float
    stream: str
    message: str


@dataclass
class Reading:
    """What one dialect made of a log: its spans, and the places of the lines it understood."""

    spans: list[Span] = field(default_factory=list)
    understood: set[int] = field(default_factory=set)


class Dialect(Protocol):
    """A kind of log. What it does not know it leaves alone; container.log keeps every line."""

    def __call__(self, lines: Sequence[LogLine]) -> Reading:
        """Read the lines of one stream, in order."""
