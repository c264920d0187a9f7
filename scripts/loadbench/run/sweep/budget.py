"""Limits of a sweep in USD and hours. Each run is counted with its worst case before it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorstCase:
    """Upper limits of one run's cost and duration, including its removal and an optimization job."""

    usd: float
    seconds: float


@dataclass(frozen=True)
class Budget:
    """Limits of a whole sweep's cost and duration."""

    usd: float
    seconds: float

    def allows(self, spent_usd: float, used_s: float, running: list[WorstCase], run: WorstCase) -> bool:
        """Whether a run may start now, assuming the worst case for it and for all running ones.

        `spent_usd` excludes running ones. Runs are concurrent, so their seconds do not add up.
        """
        worst_usd = spent_usd + sum(item.usd for item in running) + run.usd
        return worst_usd <= self.usd and used_s + run.seconds <= self.seconds
