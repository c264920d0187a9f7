"""The run record, its schema version, and its path.

The record is the only connection between `run/`, which calls AWS, and `results/`, which compares runs. It is
written when a run starts and updated after every step: an aborted run leaves a readable record.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from loadbench.errors import UsageError
from loadbench.foreign_text import needs_cleaning, plain, plain_document, shown
from loadbench.results.costs import Price
from loadbench.results.timeline import Span

SCHEMA_VERSION = 1
Document = TypeVar("Document", bound=BaseModel)
Origin = Literal["run", "observed", "imported"]
RunStatus = Literal["running", "succeeded", "failed", "interrupted"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


# Text from services, containers and models: without escape sequences and secrets.
ForeignText = Annotated[str, AfterValidator(shown)]
Answer = Annotated[str, AfterValidator(lambda text: plain(text, None))]


class ModelInfo(_Model):
    """What was deployed, and where its weights came from."""

    model_id: str
    digest: str | None = None
    size_bytes: int | None = None
    dtype: str | None = None
    weights_from: Literal["s3", "hub"] = "s3"
    source_uri: str | None = None


class ResourceNames(_Model):
    """Names of all resources of this run, saved before the first call that costs money."""

    endpoint: str
    endpoint_configuration: str
    model: str
    inference_component: str | None = None
    role: str | None = None
    optimization_job: str | None = None


class Optimization(_Model):
    """The sharding job: a one-time cost, reported separately from the deployment."""

    job_name: str
    key: str = Field(description="content key: weights digest, degree, dtype, image")
    reused: bool
    seconds: float | None = Field(
        default=None, description="of the job that made the shards; None if unknown"
    )
    instance_type: str
    output_uri: str
    shards_bytes: int | None = None
    started_s: float | None = None
    ended_s: float | None = None
    recommended_image: str | None = Field(
        default=None, description="image that the service recommends for serving these shards"
    )


class Step(_Model):
    """One step on the client's clock: initialization, optimization, build, deployment, testing, destroy."""

    name: str
    start_s: float
    end_s: float | None = None


class Invocation(_Model):
    """One request to the endpoint."""

    kind: Literal["first", "warm", "streaming"]
    start_s: float
    latency_s: float
    ok: bool
    time_to_first_token_s: float | None = None
    output_tokens: int | None = None
    output_text: Answer | None = None
    error: ForeignText | None = None


class AnswerCheck(_Model):
    """Whether the first answer contained the expected words."""

    expected: list[str]
    missing: list[str] = Field(default_factory=list)


class Series(_Model):
    """One curve over time, as (epoch seconds, value)."""

    name: str
    unit: str
    source: str = Field(description="cloudwatch namespace")
    points: list[tuple[float, float]]


class Usage(_Model):
    """Resources that one cold start used on the instance; None if the target does not report them."""

    cpu_seconds: float | None = None
    peak_memory_bytes: float | None = None
    disk_write_bytes: float | None = None
    network_receive_bytes: float | None = None
    series: list[Series] = Field(default_factory=list)


class Deployment(_Model):
    """Start and end of one deployment by three clocks, epoch seconds."""

    request_s: float | None = Field(default=None, description="service: CreationTime of the endpoint")
    ready_s: float | None = Field(
        default=None, description="service: LastModifiedTime when all is in service"
    )
    request_source: str | None = Field(
        default=None, description="source of the request time of an observed start"
    )
    ready_source: str | None = None
    terraform_start_s: float | None = None
    terraform_end_s: float | None = None
    poller_ready_s: float | None = None
    configuration_by: str | None = Field(
        default=None, description="who made the endpoint configuration of inference components"
    )
    caches: dict[str, bool | str | int] = Field(
        default_factory=dict,
        description="cache settings that Describe reports, by path; empty: it reports none",
    )
    status_history: list[tuple[float, str, str]] = Field(
        default_factory=list, description="(epoch seconds, resource, status) as the poller saw them"
    )

    @property
    def caching(self) -> bool | None:
        """Whether SageMaker's data cache was on; None if Describe does not report it."""
        reported = [value for path, value in self.caches.items() if path.endswith("EnableCaching")]
        return any(value is True for value in reported) if reported else None


class Pair(_Model):
    """Position of a run in a series of pairs."""

    series_id: str
    index: int
    position: int
    seed: int
    cell: str | None = Field(default=None, description="of a sweep: the name of the configuration")


class Failure(_Model):
    """Why a run failed."""

    step: str
    message: ForeignText
    reason: ForeignText | None = None
    remedy: str | None = None
    log_lines: list[ForeignText] = Field(default_factory=list)


class Restart(_Model):
    """A server that ended before it was ready and was restarted in the same container."""

    stream: str
    at_s: float = Field(description="first line of the next start, epoch seconds")
    reason: str | None = Field(default=None, description="the last error in the log of the one that ended")


class Streaming(_Model):
    """Whether the weights were streamed past the disk, and how that is known."""

    state: Literal["shown", "unproven", "contradicted"]
    evidence: str


class Layer(_Model):
    """Whether one layer was cached before the start, and how that is known."""

    name: Literal["image", "weights", "compile_cache", "page_cache"]
    state: Literal["cold", "warm", "unknown"]
    evidence: str


class StartProbe(_Model):
    """What the start probe noted in the container's log, epoch seconds."""

    processes: int = Field(description="processes that imported something heavy")
    first_weight_s: float | None = None
    first_forward_s: float | None = None


class ReadinessEdge(_Model):
    """One moment on the way to readiness, epoch seconds, and what showed it."""

    name: Literal["port_open", "ping_ok", "model_listed", "first_token"]
    at_s: float
    source: str


class RunRecord(_Model):
    """Everything that is known about one run of one load path."""

    schema_version: Literal[1] = 1
    run_id: str
    path: str
    origin: Origin = Field(
        default="run", description="observed and imported: of an endpoint that loadbench must not remove"
    )
    cause: str | None = Field(default=None, description="what caused an observed start, if it is known")
    status: RunStatus = "running"
    started_s: float
    finished_s: float | None = None
    expires_at: str
    command: list[str]
    target: Literal["local", "aws"]
    region: str
    account_id: str | None = None
    project: str
    configuration: dict[str, Any]
    configuration_digest: str
    system: dict[str, str] = Field(default_factory=dict, description="versions and machine")
    image: str
    instance_type: str
    instance_count: int = 1
    endpoint_kind: Literal["model_based", "inference_component"]
    network: dict[str, Any] | None = Field(
        default=None, description="shaping of the embedded target; None: unshaped or AWS"
    )
    cache: Literal["cold", "warm"] = "cold"
    model: ModelInfo
    names: ResourceNames
    optimization: Optimization | None = None
    steps: list[Step] = Field(default_factory=list)
    deployment: Deployment = Field(default_factory=Deployment)
    spans: list[Span] = Field(default_factory=list)
    restarts: list[Restart] = Field(
        default_factory=list, description="servers that ended before they were ready"
    )
    streaming: Streaming | None = Field(
        default=None, description="null: the log shows no streaming; unless it is shown, the span is inferred"
    )
    readiness: list[ReadinessEdge] = Field(
        default_factory=list, description="only the moments that a log line or a request of loadbench shows"
    )
    start_probe: StartProbe | None = Field(default=None, description="null: it was off, or wrote nothing")
    layers: list[Layer] = Field(default_factory=list, description="what was warm at this start")
    invocations: list[Invocation] = Field(default_factory=list)
    answer_check: AnswerCheck | None = Field(default=None, description="null: nothing was expected")
    usage: Usage = Field(default_factory=Usage)
    price: Price | None = Field(default=None, description="of one instance, if the run could look it up")
    pair: Pair | None = None
    failure: Failure | None = None
    destroyed_s: float | None = None
    clock_problem: str | None = Field(
        default=None, description="why the times of this run are unreliable; such a run is not compared"
    )

    def seconds_of(self, step: str) -> float | None:
        """Duration of a client step, None if it did not complete."""
        for item in self.steps:
            if item.name == step and item.end_s is not None:
                return item.end_s - item.start_s
        return None

    @property
    def time_to_ready_s(self) -> float | None:
        """Seconds from request to in service on the service's clock, the one that is compared."""
        if self.deployment.request_s is None or self.deployment.ready_s is None:
            return None
        return self.deployment.ready_s - self.deployment.request_s


def new_run_id(load_path: str, now: datetime.datetime) -> str:
    """A run id that sorts by time: 20261123-061530-standard-4f2a."""
    return f"{now.astimezone(datetime.UTC):%Y%m%d-%H%M%S}-{load_path}-{secrets.token_hex(2)}"


def record_file(results_dir: Path, run_id: str) -> Path:
    """Path of a run's record."""
    return results_dir / run_id / "run.json"


def save_record(results_dir: Path, record: RunRecord) -> Path:
    """Write the record atomically (temporary file, then rename)."""
    text = record.model_dump_json(indent=2) + "\n"
    return write_atomically(record_file(results_dir, record.run_id), text, private=True)


def write_atomically(path: Path, text: str, *, private: bool = False) -> Path:
    """Replace the content of `path` atomically: a reader sees either the old or the new text.

    A `private` file can be read by its owner only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(temporary, flags, 0o600 if private else 0o666), "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # a partial file, if the disk is full
    return path


def load_record(path: Path) -> RunRecord:
    """Read one record. Raises UsageError if it is invalid or from a newer version."""
    remedy = "Delete the folder or restore the file."
    return load_document(path, RunRecord, "record", "a run record", SCHEMA_VERSION, remedy)


def load_document(
    path: Path, model: type[Document], name: str, kind: str, newest_version: int, remedy: str
) -> Document:
    """Read a versioned document. Raises UsageError if it is unreadable, of another kind, or too new."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the {name}: {error.strerror}: {path}", remedy=remedy) from error
    try:
        if needs_cleaning(text):
            return model.model_validate(plain_document(json.loads(text)))
        return model.model_validate_json(text)
    except (ValueError, RecursionError) as error:
        if (version := schema_version(text)) > newest_version:
            raise UsageError(
                f"{path} has schema version {version}, this version reads up to {newest_version}",
                remedy="Update loadbench.",
            ) from error
        if not isinstance(error, ValidationError):
            raise UsageError(f"{path} is not {kind}: it is not JSON", remedy=remedy) from error
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        where = f"{where}: " if where else ""
        raise UsageError(f"{path} is not {kind}: {where}{first['msg']}", remedy=remedy) from error


def schema_version(text: bytes) -> int:
    """The schema version of a document, 0 if it has none."""
    try:
        version = json.loads(text)["schema_version"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0
    return version if isinstance(version, int) else 0


def find_records(results_dir: Path) -> Iterator[Path]:
    """Paths of all run records, oldest first."""
    if results_dir.is_dir():
        yield from sorted(results_dir.glob("*/run.json"))
