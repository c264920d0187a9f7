"""Progress of long steps; the command line decides how to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Progress of a step: `done` of `total` in `unit` ("bytes", "requests", …); total is None if unknown."""

    label: str
    done: float = 0.0
    total: float | None = None
    unit: str = ""


OnProgress = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """For callers that show nothing."""
