"""The coefficients of the model: published values from `data/start_coefficients.toml`, updated by records."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from loadbench.predict.machine_load import Pace
from loadbench.predict.shrinkage import Belief, Spread, of_group, published
from loadbench.workspace import Workspace

Population = Literal["aws", "local"]
NO_GROUP = ""


class Published(BaseModel):
    """One published coefficient: its value, a range that contains nine values in ten, and its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    median: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    between: float = Field(gt=0, description="spread between groups, standard deviation of logarithms")
    within: float = Field(gt=0, description="spread from run to run within a group")
    source: str = Field(min_length=1)
    date: str = Field(pattern=r"^20\d\d-\d\d-\d\d$")

    @model_validator(mode="after")
    def _ordered(self) -> Published:
        if not self.low <= self.median <= self.high:
            raise ValueError("low, median and high are not in order")
        return self


@dataclass(frozen=True)
class Fitted:
    """The range of the records from which coefficients were learned."""

    records: int = 0
    paths: frozenset[str] = frozenset()
    instance_types: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    sizes_bytes: tuple[float, float] = (0.0, 0.0)
    times_s: tuple[float, float] = (0.0, 0.0)
    """Start of the first and of the last record, seconds since the epoch."""


@dataclass(frozen=True)
class Coefficients:
    """All coefficients of one population, with the logarithms of the recorded values by group.

    Records of the embedded AWS and of AWS are different populations and are never mixed.
    """

    population: Population
    published: Mapping[str, Published]
    logs: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    fitted: Fitted = field(default_factory=Fitted)
    pace: Pace = field(default_factory=Pace)
    """How busy this machine was, for the embedded AWS; logs are free of it."""

    def belief(self, name: str, group: str = NO_GROUP) -> Belief:
        """The expected value for a start at the usual pace. Raises KeyError for an unknown name."""
        known = self.published[name]
        prior = published(known.median, known.low, known.high)
        return of_group(prior, Spread(known.between, known.within), self.logs.get(name, {}), group)

    def count(self, name: str, group: str = NO_GROUP) -> int:
        """The number of measurements behind a group's value."""
        return len(self.logs.get(name, {}).get(group, ()))


@cache
def published_values() -> dict[Population, dict[str, Published]]:
    """The file's coefficients by population."""
    file = Workspace.here().assets / "data" / "start_coefficients.toml"
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        population: {name: Published(**figures) for name, figures in document[population].items()}
        for population in ("aws", "local")
    }
