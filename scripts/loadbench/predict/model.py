"""The prediction of one cold start: by phase and in total, with a 90 % interval, and the records behind it.

    coefficients = learn(records, "aws")
    prediction = predict(start, coefficients)
    prediction.total.median, prediction.total.low, prediction.total.high

`prediction.draws_s` are equally likely cold starts, for what computes with the whole distribution.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loadbench.predict.coefficients import Coefficients
from loadbench.predict.extrapolation import unfamiliar
from loadbench.predict.groups import group_of
from loadbench.predict.machine_load import sign_of
from loadbench.predict.physics import Array, phases
from loadbench.predict.start import StartSpec
from loadbench.results.timeline import PHASES, PhaseName

DRAWS = 4000
CONFIDENCE = 0.90
_WIDEST = 6.0  # standard deviations; the tails of a Student t are longer than those of starts


@dataclass(frozen=True)
class Interval:
    """A median with the 90 % interval around it, in seconds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class PhasePrediction:
    """Seconds attributed to a phase; `busy` includes overlaps with other phases."""

    name: PhaseName
    own: Interval
    busy: Interval


@dataclass(frozen=True)
class Prediction:
    """One predicted cold start."""

    start: StartSpec
    total: Interval
    phases: tuple[PhasePrediction, ...]
    notes: tuple[str, ...]
    """Properties that no record covers; each widens the interval."""
    records: int
    """Records of the same population that the coefficients were learned from."""
    draws_s: Array
    own_draws_s: dict[PhaseName, Array]
    busy_draws_s: dict[PhaseName, Array]

    @property
    def emulated(self) -> bool:
        """Whether these are seconds of the embedded AWS on this machine, not AWS timings."""
        return self.start.emulated


def predict(start: StartSpec, coefficients: Coefficients) -> Prediction:
    """The distribution of the cold start. Raises ValueError for coefficients of the other population."""
    if start.population != coefficients.population:
        raise ValueError(f"coefficients of {coefficients.population} for a start on {start.population}")
    drawn = phases(start, _drawing(start, coefficients))
    notes, extra = unfamiliar(start, coefficients)
    factor = np.exp(extra * _normal("beyond what was fitted")) if extra else np.ones(DRAWS)
    own = {name: drawn[name].own_s * factor for name in PHASES if name in drawn}
    busy = {name: drawn[name].busy_s * factor for name in own}
    total = np.sum(list(own.values()), axis=0)
    return Prediction(
        start=start,
        total=interval(total),
        phases=tuple(PhasePrediction(name, interval(own[name]), interval(busy[name])) for name in own),
        notes=notes,
        records=coefficients.fitted.records,
        draws_s=total,
        own_draws_s=own,
        busy_draws_s=busy,
    )


def interval(draws: Array) -> Interval:
    """The median and the middle 90 % of draws."""
    edge = (1 - CONFIDENCE) / 2
    low, median, high = np.quantile(draws, [edge, 0.5, 1 - edge])
    return Interval(float(median), float(low), float(high))


def _drawing(start: StartSpec, coefficients: Coefficients) -> Callable[[str], Array]:
    """Draws of each coefficient. Starts of one group share them, so common uncertainty cancels in a
    difference.
    """
    known: dict[str, Array] = {}
    # One pace per start: a busy machine slows down everything that is limited by processors.
    shift, spread = coefficients.pace.at(start.at_s)
    pace = shift + spread * _normal("pace")

    def draw(name: str) -> Array:
        if name not in known:
            group = group_of(name, start)
            belief = coefficients.belief(name, group)
            generator = np.random.default_rng(zlib.crc32(f"{name} {group}".encode()))
            wide = np.clip(generator.standard_t(belief.freedom, DRAWS), -_WIDEST, _WIDEST)
            known[name] = np.exp(belief.centre + belief.scale * wide + sign_of(name) * pace)
        return known[name]

    return draw


def _normal(name: str) -> Array:
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(DRAWS)


def job_draws(start: StartSpec, coefficients: Coefficients) -> Array:
    """Seconds of the sharding job that a loading method needs once."""
    return _drawing(start, coefficients)("optimization_job_s")
