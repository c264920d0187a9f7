"""Arrival times of requests: a constant rate, bursts or a trace; Poisson or evenly spaced."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from loadbench.errors import UsageError
from loadbench.what_if.distributions import Seconds

Arrivals = Literal["poisson", "even"]
_MOST_REQUESTS = 50_000_000  # about 1.5 GB of memory and minutes of time
_TRACE = (
    "A trace is a CSV file with a header line: one column time_s (one row per request), or "
    "time_s,requests_per_s (the rate from that time on). Times are seconds in ascending order."
)


@dataclass(frozen=True)
class Traffic:
    """Piecewise constant rates in requests per second, or the recorded times of the requests."""

    duration_s: float
    words: str
    starts_s: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    recorded_s: Seconds | None = None

    @property
    def expected_requests(self) -> float:
        """The expected number of requests."""
        if self.recorded_s is not None:
            return float(len(self.recorded_s))
        return float(np.dot(self.rates, self._lengths()))

    def times(self, generator: np.random.Generator, arrivals: Arrivals) -> Seconds:
        """Arrival times in ascending order; a recorded trace always gives the same ones.

        Raises UsageError if there are too many requests.
        """
        if self.expected_requests > _MOST_REQUESTS:
            raise UsageError(
                f"{self.expected_requests:,.0f} requests exceed the simulation's limit of {_MOST_REQUESTS:,}",
                remedy="Simulate fewer hours (--hours), or scale the rate and the number of copies down.",
            )
        if self.recorded_s is not None:
            return self.recorded_s
        lengths = self._lengths()
        if arrivals == "even":
            passed = np.concatenate([[0.0], np.cumsum(np.asarray(self.rates) * lengths)])
            ends = np.asarray([*self.starts_s, self.duration_s])
            # Request k (from 0) arrives when the integral of the rate reaches k + 0.5.
            spaced: Seconds = np.interp(np.arange(math.floor(passed[-1] + 0.5)) + 0.5, passed, ends)
            return spaced
        parts = [
            start_s + length_s * np.sort(generator.random(generator.poisson(rate * length_s)))
            for start_s, length_s, rate in zip(self.starts_s, lengths, self.rates, strict=True)
        ]
        return np.concatenate(parts)

    def _lengths(self) -> Seconds:
        return np.diff([*self.starts_s, self.duration_s])


def constant(rate: float, duration_s: float) -> Traffic:
    """A constant rate in requests per second."""
    return Traffic(duration_s, f"{rate:g} requests/s", (0.0,), (rate,))


def bursts(rate: float, burst_rate: float, burst_s: float, every_s: float, duration_s: float) -> Traffic:
    """A base rate, and `burst_rate` for the last `burst_s` of every interval of `every_s`."""
    starts, rates = [], []
    for number in range(math.ceil(duration_s / every_s)):
        begins_s, burst_begins_s = number * every_s, (number + 1) * every_s - burst_s
        starts += [start for start in (begins_s, burst_begins_s) if start < duration_s]
        rates += [
            value for start, value in ((begins_s, rate), (burst_begins_s, burst_rate)) if start < duration_s
        ]
    words = f"{rate:g} requests/s, {burst_rate:g} requests/s for {burst_s:g} s in every {every_s:g} s"
    return Traffic(duration_s, words, tuple(starts), tuple(rates))


def read_trace(file: Path, duration_s: float | None = None) -> Traffic:
    """Read a trace from a CSV file. Raises UsageError with the number of an invalid line."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            heading, *rows = list(csv.reader(lines)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the trace {file} cannot be read: {error}", remedy=_TRACE) from error
    if heading not in (["time_s"], ["time_s", "requests_per_s"]):
        raise UsageError(f"{file}, line 1: invalid header {','.join(heading)[:80]!r}", remedy=_TRACE)
    table: list[list[float]] = []
    for number, row in enumerate(rows, 2):
        try:
            values = [float(cell) for cell in row]
        except ValueError:
            values = []
        rises = not table or (values and values[0] >= table[-1][0])
        if len(values) != len(heading) or not all(0 <= value < 1e9 for value in values) or not rises:
            raise UsageError(f"{file}, line {number}: invalid row {','.join(row)[:80]!r}", remedy=_TRACE)
        table.append(values)
    if not table:
        raise UsageError(f"{file} has no rows after the header line", remedy=_TRACE)
    times = np.asarray([row[0] for row in table])
    if len(heading) == 1:
        ends_s = duration_s or math.floor(times[-1]) + 1.0
        return Traffic(ends_s, f"trace {file.name}", recorded_s=times[times < ends_s])
    # The last rate lasts as long as the one before it.
    ends_s = duration_s or float(times[-1] + (times[-1] - times[-2] if len(times) > 1 else 3600.0))
    kept = [(start, row[1]) for start, row in zip(times, table, strict=True) if start < ends_s]
    if not kept or kept[0][0] > 0:
        kept.insert(0, (0.0, 0.0))
    return Traffic(
        ends_s, f"trace {file.name}", tuple(start for start, _ in kept), tuple(rate for _, rate in kept)
    )
