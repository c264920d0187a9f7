"""The record of a scale-out: one copy added to an endpoint in service, timed until the copy is in service.

It is stored with its run's record as `scale-out-<id>.json`, written when the scale-out starts and updated
after every step. No other scale-out writes to it.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from loadbench.results.run_record import (
    Deployment,
    Failure,
    Invocation,
    Layer,
    Pair,
    RunRecord,
    RunStatus,
    Usage,
    load_document,
    write_atomically,
)
from loadbench.results.timeline import Span

SCALE_OUT_SCHEMA_VERSION: Literal[1] = 1
_PREFIX = "scale-out-"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CountChange(_Model):
    """One count that was increased: instances of the endpoint, or copies of the inference component."""

    resource: Literal["endpoint", "inference component"]
    before: int
    after: int
    request_s: float = Field(description="time of the request, by the service's clock if it reports one")
    ready_s: float | None = Field(default=None, description="service: LastModifiedTime with the new count")
    managed: bool = Field(
        default=False, description="managed instance scaling: the service adds the instance with its copy"
    )


class ScaleOutRecord(_Model):
    """Everything that is known about one scale-out. Times are epoch seconds."""

    schema_version: Literal[1] = SCALE_OUT_SCHEMA_VERSION
    scale_out_id: str
    run_id: str = Field(description="the run whose endpoint got the copy; its record has the other facts")
    path: str
    status: RunStatus = "running"
    started_s: float
    finished_s: float | None = None
    command: list[str]
    copies_before: int
    copies_after: int
    changes: list[CountChange] = Field(default_factory=list)
    status_history: list[tuple[float, str, str]] = Field(
        default_factory=list, description="(epoch seconds, resource, status) as observed"
    )
    spans: list[Span] = Field(default_factory=list, description="of the added copy only")
    layers: list[Layer] = Field(default_factory=list, description="what was warm before the copy's start")
    requests: list[Invocation] = Field(
        default_factory=list,
        description="requests sent to the endpoint from the request for a copy until it was in service",
    )
    pair: Pair | None = Field(default=None, description="which repetition, and its place in it")
    failure: Failure | None = None
    scaled_back_s: float | None = Field(
        default=None, description="when the copy was removed; None while it exists"
    )

    clock_problem: str | None = Field(default=None, description="why its times are unreliable")

    @property
    def request_s(self) -> float | None:
        """Time of the request for the first count."""
        return self.changes[0].request_s if self.changes else None

    @property
    def ready_s(self) -> float | None:
        """When every count had its requested value; None if that never happened."""
        ready = [change.ready_s for change in self.changes]
        return None if None in ready else max((at_s for at_s in ready if at_s is not None), default=None)


def new_scale_out_id(now: datetime.datetime) -> str:
    """An id that sorts by time: 20261123-061530-4f2a."""
    return f"{now.astimezone(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def scale_out_file(results_dir: Path, record: ScaleOutRecord, suffix: str = ".json") -> Path:
    """Path of a scale-out's record, or of another of its files."""
    return results_dir / record.run_id / f"{_PREFIX}{record.scale_out_id}{suffix}"


def save_scale_out(results_dir: Path, record: ScaleOutRecord) -> Path:
    """Write the record atomically."""
    text = record.model_dump_json(indent=2) + "\n"
    return write_atomically(scale_out_file(results_dir, record), text, private=True)


def load_scale_out(path: Path) -> ScaleOutRecord:
    """Read one record. Raises UsageError if it is invalid or from a newer version."""
    remedy = "Delete or restore the file."
    return load_document(
        path, ScaleOutRecord, "record", "a scale-out record", SCALE_OUT_SCHEMA_VERSION, remedy
    )


def scale_outs_of(results_dir: Path, run_ids: Sequence[str]) -> list[ScaleOutRecord]:
    """The finished scale-outs of these runs, successful or not, oldest first."""
    files = [file for run_id in run_ids for file in (results_dir / run_id).glob(f"{_PREFIX}*.json")]
    records = [load_scale_out(file) for file in sorted(files, key=lambda file: file.name)]
    return [record for record in records if record.status in ("succeeded", "failed")]


def added_copy(run: RunRecord, scale_out: ScaleOutRecord) -> RunRecord:
    """The added copy as a run summary, so that it is compared and drawn like a deployment."""
    return run.model_copy(
        update={
            "run_id": scale_out.scale_out_id,
            "status": scale_out.status,
            "started_s": scale_out.started_s,
            "finished_s": scale_out.finished_s,
            "command": scale_out.command,
            "instance_count": scale_out.copies_after - scale_out.copies_before,
            "steps": [],
            "deployment": Deployment(
                request_s=scale_out.request_s,
                ready_s=scale_out.ready_s,
                status_history=scale_out.status_history,
            ),
            "spans": scale_out.spans,
            "layers": scale_out.layers,
            "restarts": [],
            "readiness": [],
            "start_probe": None,
            "invocations": scale_out.requests,
            "usage": Usage(),
            "optimization": None,
            "pair": scale_out.pair,
            "failure": scale_out.failure,
            "destroyed_s": scale_out.scaled_back_s,
            "clock_problem": scale_out.clock_problem,
        }
    )
