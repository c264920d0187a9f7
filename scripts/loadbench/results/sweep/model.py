"""The record of a sweep (sweep.json): its plan, its cells and every run that was started."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from loadbench.errors import UsageError
from loadbench.results.run_record import load_document, write_atomically
from loadbench.results.sweep.stopping_rule import Rule

SWEEP_SCHEMA_VERSION: Literal[1] = 1
SWEEP_PREFIX = "sweep-"
_FILE = "sweep.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CellInfo(_Model):
    """One configuration. `control` names the cell that it is compared with, the first cell of its model."""

    name: str
    load_path: str
    instance_type: str
    model_id: str
    settings: str
    control: str
    usd_per_hour: float | None


class StartedRun(_Model):
    """A started run. Until it has ended, the budget counts it with `worst_usd` and `worst_s`."""

    number: int
    round: int
    cell: str
    started_s: float
    worst_usd: float
    worst_s: float
    ended_s: float | None = None
    usd: float | None = None
    run_id: str | None = None
    status: Literal["running", "succeeded", "failed", "interrupted"] = "running"
    reason: str = ""


class SweepRecord(_Model):
    """Times are epoch seconds. `used_s` is the running time of the sweep without pauses before a --resume."""

    schema_version: Literal[1] = SWEEP_SCHEMA_VERSION
    sweep_id: str
    plan_digest: str
    plan: dict[str, Any]
    target: Literal["local", "aws"]
    region: str
    seed: int
    rule: Rule
    max_usd: float
    max_hours: float
    cells: list[CellInfo]
    runs: list[StartedRun] = Field(default_factory=list)
    used_s: float = 0.0
    ended_because: str = "it was interrupted"

    @property
    def spent_usd(self) -> float:
        """The cost of the runs at AWS prices; the worst case for runs whose end was not observed."""
        return sum(run.worst_usd if run.usd is None else run.usd for run in self.runs)

    @property
    def comparisons(self) -> int:
        """The number of cells that are compared with a control."""
        return sum(cell.name != cell.control for cell in self.cells)


def sweep_folder(results_dir: Path, sweep_id: str) -> Path:
    """The folder of a sweep's files."""
    return results_dir / f"{SWEEP_PREFIX}{sweep_id.removeprefix(SWEEP_PREFIX)}"


def save_sweep(results_dir: Path, record: SweepRecord) -> None:
    """Write the record atomically."""
    folder = sweep_folder(results_dir, record.sweep_id)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _FILE, record.model_dump_json(indent=2) + "\n")


def load_sweep(results_dir: Path, sweep_id: str) -> SweepRecord:
    """Read a sweep's record. Raises UsageError if it is missing or invalid."""
    file = sweep_folder(results_dir, sweep_id) / _FILE
    return load_document(
        file, SweepRecord, "sweep", "a sweep", SWEEP_SCHEMA_VERSION, "Delete or restore the file."
    )


def last_sweep(results_dir: Path, plan_digest: str) -> SweepRecord:
    """The newest sweep of this plan. Raises UsageError if there is none."""
    for folder in sorted(results_dir.glob(f"{SWEEP_PREFIX}*/{_FILE}"), reverse=True):
        record = load_sweep(results_dir, folder.parent.name)
        if record.plan_digest == plan_digest:
            return record
    raise UsageError("there is no sweep of this plan to resume", remedy="Start one without --resume.")
