"""Compares predicted with measured: every record is predicted from all the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from loadbench.predict.coefficients import Population
from loadbench.predict.learn import KnownStart, learn_from
from loadbench.predict.model import Interval, predict
from loadbench.predict.start import StartSpec

_MOST_GROUPS = 200  # more records are left out several at a time


@dataclass(frozen=True)
class CheckedStart:
    """One record and its prediction from the other records."""

    run_id: str
    start: StartSpec
    measured_s: float
    predicted: Interval
    notes: tuple[str, ...]

    @property
    def error(self) -> float:
        """Measured / predicted - 1: +0.1 means that it took 10 % longer than predicted."""
        return self.measured_s / self.predicted.median - 1

    @property
    def inside(self) -> bool:
        """Whether the measurement is within the 90 % interval."""
        return self.predicted.low <= self.measured_s <= self.predicted.high


@dataclass(frozen=True)
class Check:
    """The checks of all records of one population."""

    population: Population
    starts: tuple[CheckedStart, ...]

    @property
    def median_error(self) -> float | None:
        """Median of the absolute relative errors; None without a record."""
        return median(abs(item.error) for item in self.starts) if self.starts else None

    @property
    def coverage(self) -> float | None:
        """Share of measurements within their 90 % interval; None without a record."""
        return sum(item.inside for item in self.starts) / len(self.starts) if self.starts else None


def leave_one_out(known: Sequence[KnownStart], population: Population) -> Check:
    """Predict every start from the others; above 200 starts, leave out one two-hundredth at a time."""
    groups = min(len(known), _MOST_GROUPS)
    found: dict[int, CheckedStart] = {}
    for group in range(groups):
        left_out = range(group, len(known), groups)
        coefficients = learn_from(
            [item for index, item in enumerate(known) if index not in left_out], population
        )
        for index in left_out:
            item = known[index]
            prediction = predict(item.start, coefficients)
            found[index] = CheckedStart(
                item.record.run_id, item.start, item.total_s, prediction.total, prediction.notes
            )
    return Check(population, tuple(found[index] for index in range(len(known))))
