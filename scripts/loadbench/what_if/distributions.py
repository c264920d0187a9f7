"""How long something takes, as a distribution that can be drawn from: cold starts, requests."""

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
_WRITTEN = "Write 95, or 95,120,110 (each as likely), lognormal:MEAN,DEVIATION, exponential:MEAN, constant:S."


class Distribution(BaseModel):
    """Seconds of one kind; `values` are drawn again as they are, each as likely as the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["values", "exponential", "lognormal"]
    mean_s: float
    deviation_s: float
    values_s: tuple[float, ...] = ()
    source: str = "as given"

    def draw(self, generator: np.random.Generator, count: int) -> Seconds:
        """So many independent draws, in seconds."""
        if self.kind == "exponential":
            return generator.exponential(self.mean_s, count)
        if self.kind == "lognormal":
            # The parameters of the logarithm that give this mean and deviation (log-normal moments).
            variance = math.log1p((self.deviation_s / self.mean_s) ** 2)
            return generator.lognormal(math.log(self.mean_s) - variance / 2, math.sqrt(variance), count)
        return generator.choice(np.asarray(self.values_s), count)

    @property
    def words(self) -> str:
        """What it is, for people."""
        if self.kind != "values":
            return f"{self.kind}, mean {self.mean_s:.4g} s, deviation {self.deviation_s:.3g} s"
        if len(self.values_s) == 1:
            return f"{self.mean_s:.4g} s"
        return f"mean {self.mean_s:.4g} s of {len(self.values_s)} values"


def from_values(values_s: Sequence[float], source: str = "as given") -> Distribution:
    """The values themselves. The deviation is the sample's, 0 of a single value."""
    deviation_s = float(np.std(values_s, ddof=1)) if len(values_s) > 1 else 0.0
    return Distribution(
        kind="values",
        mean_s=float(np.mean(values_s)),
        deviation_s=deviation_s,
        values_s=tuple(values_s),
        source=source,
    )


def parse_distribution(text: str) -> Distribution:
    """A distribution as it is written on the command line. UsageError where it is none."""
    kind, numbers = re.fullmatch(r"(?:([a-z]+):)?(.*)", text.strip(), re.S).groups()  # type: ignore[union-attr]
    try:
        values = [float(part) for part in numbers.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 <= value < 1e7 for value in values):
        raise UsageError(f"{text!r} is no distribution of seconds", remedy=_WRITTEN)
    match kind, values:
        case None, _:
            return from_values(values)
        case "constant", [value]:
            return from_values([value])
        case "exponential", [mean_s] if mean_s > 0:
            return Distribution(kind="exponential", mean_s=mean_s, deviation_s=mean_s)
        case "lognormal", [mean_s, deviation_s] if mean_s > 0:
            return Distribution(kind="lognormal", mean_s=mean_s, deviation_s=deviation_s)
    raise UsageError(f"{text!r} is no distribution of seconds", remedy=_WRITTEN)
