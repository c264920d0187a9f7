"""plan.yaml, the plan of a sweep. All errors are reported together, each with its line."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from loadbench.config import Config
from loadbench.config_file import read_document
from loadbench.errors import ConfigError, LoadbenchError
from loadbench.instance_types import instance_types
from loadbench.load_paths import LOAD_PATHS, LoadPath
from loadbench.results.costs import find_price
from loadbench.results.sweep.model import CellInfo
from loadbench.results.sweep.stopping_rule import Rule
from loadbench.run.sweep.budget import Budget, WorstCase

_EXAMPLE = "docs/examples/plans/sweep.yaml is an example of a plan."
ReadConfig = Callable[[Path, tuple[str, ...], str, str], Config]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Settings(_Strict):
    """A variant: a name, and overrides in the syntax of `--set` (values without quotes)."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,30}$")
    set: dict[str, Any] = Field(default_factory=dict)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The overrides as arguments of `--set`."""
        return tuple(f"{key}={json.dumps(value)}" for key, value in self.set.items())


class BudgetPlan(_Strict):
    """Limits of the sweep's cost and duration, and of one run's duration."""

    usd: float = Field(gt=0)
    hours: float = Field(gt=0)
    worst_minutes_a_run: float = Field(default=60, ge=5, le=24 * 60)
    worst_minutes_a_job: float = Field(default=60, ge=5, le=24 * 60)


class Plan(_Strict):
    """The contents of a plan file."""

    config: Path = Path("config.yaml")
    paths: list[Name] = Field(min_length=1)
    instance_types: list[Name] = Field(min_length=1)
    models: list[Name] = Field(min_length=1)
    settings: list[Settings] = Field(default_factory=lambda: [Settings(name="default")], min_length=1)
    budget: BudgetPlan
    rule: Rule = Field(default_factory=Rule)
    side_by_side: int = Field(default=1, ge=1, le=16)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _known(self) -> Plan:
        problems = [
            *_unknown("paths", self.paths, LOAD_PATHS),
            *_unknown("instance_types", self.instance_types, instance_types()),
            *_twice("models", self.models),
            *_twice("settings", [item.name for item in self.settings]),
        ]
        if self.rule.most_rounds < self.rule.least_rounds:
            problems.append("rule: most_rounds must not be less than least_rounds")
        if len(self.paths) * len(self.instance_types) * len(self.settings) < 2:
            problems.append("paths, instance_types, settings: only one cell per model, nothing to compare")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def digest(self) -> str:
        """A digest of the plan without its budget, which may change before a --resume."""
        text = self.model_dump_json(exclude={"budget", "side_by_side"})
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Cell:
    """One configuration: its name, its configuration for an ordinary run, its worst case."""

    info: CellInfo
    config: Config
    overrides: tuple[str, ...]
    worst: WorstCase

    @property
    def load_path(self) -> LoadPath:
        """The loading method."""
        return self.info.load_path


def read_plan(file: Path) -> Plan:
    """Read a plan. Raises ConfigError with all errors."""
    document, places = read_document(file)
    try:
        return Plan.model_validate(document)
    except ValidationError as error:
        lines = [line for item in error.errors(include_url=False) for line in _sentences(item, places)]
        lines += _other_mistakes(document, error)
        raise ConfigError(
            f"{file} is not a valid plan:\n  " + "\n  ".join(dict.fromkeys(lines)), remedy=_EXAMPLE
        ) from error


def _sentences(item: Any, places: dict[tuple[str, ...], str]) -> list[str]:
    keys = tuple(str(part) for part in item["loc"])
    place = next((places[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in places), "")
    name = ".".join(keys)
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(keys[-1], Plan.model_fields, n=1)
        reason = f"unknown key{f', did you mean {near[0]!r}?' if near else ''}"
    elif item["type"] == "missing":
        reason = "is missing"
    else:
        reason = re.sub(r"^Value error, ", "", str(item["msg"]))
    if not name:
        return reason.splitlines()
    return [f"{f'{place}, ' if place else ''}{name}: {reason}"]


def _other_mistakes(document: dict[str, Any], error: ValidationError) -> list[str]:
    """Unknown names, reported even if other fields are invalid and model validation did not run."""
    if any(not item["loc"] for item in error.errors()):
        return []
    found: list[str] = []
    for key, known in (("paths", LOAD_PATHS), ("instance_types", instance_types())):
        value = document.get(key)
        if isinstance(value, list):
            found += _unknown(key, [str(item) for item in value], known)
    return found


def _unknown(key: str, names: list[str], known: Any) -> list[str]:
    found = _twice(key, names)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f", did you mean {near[0]}?" if near else f"; known names: {', '.join(known)}"
            found.append(f"{key}: unknown {name!r}{hint}")
    return found


def _twice(key: str, names: list[str]) -> list[str]:
    return [f"{key}: {name} is listed twice" for name in dict.fromkeys(names) if names.count(name) > 1]


def make_cells(plan: Plan, read_config: ReadConfig) -> list[Cell]:
    """All cells, the control of each model first. Raises ConfigError with all invalid cells."""
    cells: list[Cell] = []
    problems: list[LoadbenchError] = []
    for model in plan.models:
        combinations = itertools.product(plan.settings, plan.instance_types, plan.paths)
        names = [_name(plan, path, kind, model, item) for item, kind, path in combinations]
        combinations = itertools.product(plan.settings, plan.instance_types, plan.paths)
        for name, (settings, instance_type, load_path) in zip(names, combinations, strict=True):
            try:
                config = read_config(plan.config, settings.overrides, model, instance_type)
                config.deployment(load_path)
            except LoadbenchError as error:
                problems.append(error)
                continue
            usd = _usd_per_hour(config, instance_type)
            info = CellInfo(
                name=name,
                load_path=load_path,
                instance_type=instance_type,
                model_id=model,
                settings=settings.name,
                control=names[0],
                usd_per_hour=usd,
            )
            cells.append(Cell(info, config, settings.overrides, _worst_case(plan, config, load_path, usd)))
    if problems:
        raise ConfigError(
            "\n".join(dict.fromkeys(error.message for error in problems)),
            remedy="\n→ ".join(dict.fromkeys(error.remedy for error in problems if error.remedy)),
        )
    return cells


def _name(plan: Plan, load_path: str, instance_type: str, model: str, settings: Settings) -> str:
    """A name from the values that distinguish a cell from the others."""
    parts = [load_path, instance_type]
    if len(plan.models) > 1:
        parts.append(model.rsplit("/", 1)[-1].removeprefix("synthetic:"))
    if len(plan.settings) > 1:
        parts.append(settings.name)
    return " · ".join(parts)


def _usd_per_hour(config: Config, instance_type: str) -> float:
    price = find_price(instance_type, config.model_dump())
    if price is None:
        raise ConfigError(
            f"the price of {instance_type} is unknown, so a budget in USD cannot be enforced",
            remedy="Add it to the configuration under pricing.usd_per_hour.",
        )
    return price.usd_per_hour


def _worst_case(plan: Plan, config: Config, load_path: LoadPath, usd_per_hour: float) -> WorstCase:
    """The longest allowed run on all its instances, plus an optimization job if one may be needed."""
    run_s = plan.budget.worst_minutes_a_run * 60
    usd = run_s / 3600 * usd_per_hour * config.deployment(load_path).instance_count
    if not LOAD_PATHS[load_path].optimized:
        return WorstCase(usd, run_s)
    job_type = (
        config.fast_model_loading_info.optimization_instance_type
        or config.deployment(load_path).instance_type
    )
    job_s = plan.budget.worst_minutes_a_job * 60
    return WorstCase(usd + job_s / 3600 * _usd_per_hour(config, job_type), run_s + job_s)


def budget_of(plan: Plan) -> Budget:
    """The limits of the whole sweep."""
    return Budget(plan.budget.usd, plan.budget.hours * 3600)
