"""A limit in USD and in hours that no run may pass: each is counted at its worst before it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorstCase:
    """The most that one run may cost and take, its removal and an optimization job included."""

    usd: float
    seconds: float


@dataclass(frozen=True)
class Budget:
    """What a sweep may cost and take in all."""

    usd: float
    seconds: float

    def allows(self, spent_usd: float, used_s: float, running: list[WorstCase], run: WorstCase) -> bool:
        """Whether a run may start now, even if it and all that are running come out at their worst.

        `spent_usd` leaves out what is running. Runs go side by side, so that their seconds do not add up.
        """
        worst_usd = spent_usd + sum(item.usd for item in running) + run.usd
        return worst_usd <= self.usd and used_s + run.seconds <= self.seconds
