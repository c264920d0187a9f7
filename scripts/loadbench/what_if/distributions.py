"""Distributions of durations (cold starts, requests) that samples are drawn from."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from loadbench.errors import UsageError

Seconds = NDArray[np.float64]
_WRITTEN = "Use 95, 95,120,110 (equally likely), lognormal:MEAN,STDDEV, exponential:MEAN or constant:SECONDS."


class Distribution(BaseModel):
    """A distribution of seconds; recorded values (`values_s`) are resampled with equal probability."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["values", "exponential", "lognormal"]
    mean_s: float
    deviation_s: float
    values_s: tuple[float, ...] = ()
    source: str = "as given"

    def draw(self, generator: np.random.Generator, count: int) -> Seconds:
        """`count` independent draws, in seconds."""
        if self.kind == "exponential":
            return generator.exponential(self.mean_s, count)
        if self.kind == "lognormal":
            # Parameters of the logarithm that give this mean and standard deviation (log-normal moments).
            variance = math.log1p((self.deviation_s / self.mean_s) ** 2)
            return generator.lognormal(math.log(self.mean_s) - variance / 2, math.sqrt(variance), count)
        return generator.choice(np.asarray(self.values_s), count)

    @property
    def words(self) -> str:
        """Human-readable description."""
        if self.kind != "values":
            return f"{self.kind}, mean {self.mean_s:.4g} s, standard deviation {self.deviation_s:.3g} s"
        if len(self.values_s) == 1:
            return f"{self.mean_s:.4g} s"
        return f"mean {self.mean_s:.4g} s of {len(self.values_s)} values"


def from_values(values_s: Sequence[float], source: str = "as given") -> Distribution:
    """An empirical distribution with the sample standard deviation (0 for a single value)."""
    deviation_s = float(np.std(values_s, ddof=1)) if len(values_s) > 1 else 0.0
    return Distribution(
        kind="values",
        mean_s=float(np.mean(values_s)),
        deviation_s=deviation_s,
        values_s=tuple(values_s),
        source=source,
    )


def parse_distribution(text: str) -> Distribution:
    """Parse a distribution given on the command line. Raises UsageError if it is invalid."""
    kind, numbers = re.fullmatch(r"(?:([a-z]+):)?(.*)", text.strip(), re.S).groups()  # type: ignore[union-attr]
    try:
        values = [float(part) for part in numbers.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 <= value < 1e7 for value in values):
        raise UsageError(f"{text!r} is not a valid distribution of seconds", remedy=_WRITTEN)
    match kind, values:
        case None, _:
            return from_values(values)
        case "constant", [value]:
            return from_values([value])
        case "exponential", [mean_s] if mean_s > 0:
            return Distribution(kind="exponential", mean_s=mean_s, deviation_s=mean_s)
        case "lognormal", [mean_s, deviation_s] if mean_s > 0:
            return Distribution(kind="lognormal", mean_s=mean_s, deviation_s=deviation_s)
    raise UsageError(f"{text!r} is not a valid distribution of seconds", remedy=_WRITTEN)
