"""The figures of one run that a comparison needs: a hundredth of the size of its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from loadbench.load_paths import LOAD_PATHS
from loadbench.results.costs import Price, find_price
from loadbench.results.run_record import Invocation, Optimization, Pair, RunRecord, RunStatus
from loadbench.results.timeline import (
    DetailShare,
    PhaseShare,
    busy_s,
    divide_phases,
    partition,
    weights_phases_of,
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Clocks(_Model):
    """The duration by three clocks, in seconds."""

    service_s: float | None = Field(description="CreationTime to LastModifiedTime: the one that is compared")
    terraform_s: float | None = Field(description="the apply, including its provider's waiting intervals")
    poller_s: float | None = Field(description="CreationTime to the first poll that saw InService")


class RunSummary(_Model):
    """One run, reduced to its figures and to the facts that can differ between runs."""

    run_id: str
    path: str
    status: RunStatus
    failure: str | None = None
    started_s: float
    duration_s: float | None = Field(
        default=None, description="start to end, including removal, without the one-time optimization job"
    )
    target: Literal["local", "aws"]
    region: str
    model_id: str
    image: str
    instance_type: str
    instance_count: int = 1
    pair: Pair | None = None
    command: list[str]
    clocks: Clocks
    phases: list[PhaseShare] = Field(default_factory=list)
    details: list[DetailShare] = Field(default_factory=list, description="finer phases within the phases")
    restarts: int = Field(default=0, description="servers that ended before they were ready")
    weights_busy_s: float = Field(default=0, description="union of all spans that move weights, in seconds")
    first_response_s: float | None = None
    warm_latencies_s: list[float] = Field(default_factory=list)
    times_to_first_token_s: list[float] = Field(default_factory=list)
    tokens_per_s: list[float] = Field(default_factory=list, description="output tokens over whole latency")
    failed_invocations: int = 0
    cpu_seconds: float | None = None
    peak_memory_bytes: float | None = None
    disk_write_bytes: float | None = None
    network_receive_bytes: float | None = None
    optimization: Optimization | None = None
    price: Price | None = None
    job_price: Price | None = None
    configuration_digest: str
    facts: dict[str, str] = Field(default_factory=dict)
    clock_problem: str | None = None

    @property
    def time_to_ready_s(self) -> float | None:
        """Seconds from request to in service, the quantity that is compared."""
        return self.clocks.service_s

    @property
    def usable(self) -> bool:
        """Whether the run succeeded and has the time that is compared, from a clock that ran evenly."""
        return self.status == "succeeded" and self.clock_problem is None and (self.time_to_ready_s or 0) > 0

    def seconds_in(self, phase: str) -> float:
        """The phase's share of the time to ready, 0 if the run had no such phase."""
        share = self._shares.get(phase)
        return share.seconds if share else 0.0

    def busy_in(self, phase: str) -> float:
        """Seconds of the phase's own spans, overlaps with other phases included."""
        share = self._shares.get(phase)
        return share.busy_s if share else 0.0

    def detail_in(self, phase: str, name: str) -> float | None:
        """A finer phase's share of its phase, None if no log line reports it."""
        return next((item.seconds for item in self.details if (item.phase, item.name) == (phase, name)), None)

    @cached_property
    def _shares(self) -> dict[str, PhaseShare]:
        return {share.name: share for share in self.phases}

    @property
    def sent_requests(self) -> int:
        """The repeated requests, including failed ones."""
        return len(self.warm_latencies_s) + self.failed_invocations

    @property
    def warm_latency_s(self) -> float | None:
        """The run's median warm request."""
        return median(self.warm_latencies_s) if self.warm_latencies_s else None

    @property
    def time_to_first_token_s(self) -> float | None:
        """The run's median time to first token of a streamed answer."""
        return median(self.times_to_first_token_s) if self.times_to_first_token_s else None

    @property
    def output_tokens_per_s(self) -> float | None:
        """The run's median output rate."""
        return median(self.tokens_per_s) if self.tokens_per_s else None


def point_of(record: RunRecord) -> RunSummary:
    """Reduce a record to its summary."""
    request_s, ready_s = record.deployment.request_s, record.deployment.ready_s
    answered = [invocation for invocation in record.invocations if invocation.ok]
    first = next((item for item in answered if item.kind == "first"), None)
    moving = weights_phases_of(record.spans)
    return RunSummary(
        run_id=record.run_id,
        path=record.path,
        status=record.status,
        failure=_failure(record),
        started_s=record.started_s,
        duration_s=_duration_s(record),
        target=record.target,
        region=record.region,
        model_id=record.model.model_id,
        image=record.image,
        instance_type=record.instance_type,
        instance_count=record.instance_count,
        pair=record.pair,
        command=record.command,
        clocks=_clocks(record),
        phases=[] if request_s is None or ready_s is None else partition(record.spans, request_s, ready_s),
        details=[]
        if request_s is None or ready_s is None
        else divide_phases(record.spans, request_s, ready_s),
        restarts=len(record.restarts),
        weights_busy_s=busy_s(span for span in record.spans if span.name in moving),
        first_response_s=first.latency_s if first else None,
        warm_latencies_s=[item.latency_s for item in answered if item.kind == "warm"],
        times_to_first_token_s=[
            item.time_to_first_token_s for item in answered if item.time_to_first_token_s is not None
        ],
        tokens_per_s=[rate for item in answered if (rate := _rate(item)) is not None],
        failed_invocations=len(record.invocations) - len(answered),
        cpu_seconds=record.usage.cpu_seconds,
        peak_memory_bytes=record.usage.peak_memory_bytes,
        disk_write_bytes=record.usage.disk_write_bytes,
        network_receive_bytes=record.usage.network_receive_bytes,
        optimization=record.optimization,
        price=find_price(record.instance_type, record.configuration, record.price),
        job_price=_job_price(record),
        configuration_digest=record.configuration_digest,
        facts=_facts(record),
        clock_problem=record.clock_problem,
    )


_LONGEST_REMOVAL_S = 1800  # an endpoint that was removed later was kept on purpose


def _duration_s(record: RunRecord) -> float | None:
    if record.finished_s is None:
        return None
    removal_s = (record.destroyed_s or record.finished_s) - record.finished_s
    job_s = 0.0 if record.optimization is None else record.seconds_of("optimization") or 0.0
    return record.finished_s - record.started_s - job_s + (removal_s if removal_s < _LONGEST_REMOVAL_S else 0)


def _failure(record: RunRecord) -> str | None:
    if record.clock_problem:
        return f"unreliable clock: {record.clock_problem}"
    if record.failure:
        return f"{record.failure.step}: {record.failure.message}"
    return None if record.status == "succeeded" else record.status


def _clocks(record: RunRecord) -> Clocks:
    times = record.deployment
    return Clocks(
        service_s=record.time_to_ready_s,
        terraform_s=_between(times.terraform_start_s, times.terraform_end_s),
        poller_s=_between(times.request_s, times.poller_ready_s),
    )


def _between(start_s: float | None, end_s: float | None) -> float | None:
    return end_s - start_s if start_s is not None and end_s is not None else None


def _rate(invocation: Invocation) -> float | None:
    """Output tokens per second of warm requests; the first one includes warm-up and is reported
    separately.
    """
    if invocation.kind == "first" or not invocation.output_tokens or invocation.latency_s <= 0:
        return None
    return invocation.output_tokens / invocation.latency_s


def _job_price(record: RunRecord) -> Price | None:
    if record.optimization is None:
        return None
    same = record.optimization.instance_type == record.instance_type
    observed = record.price if same else None
    return find_price(record.optimization.instance_type, record.configuration, observed)


def _facts(record: RunRecord) -> dict[str, str]:
    """Everything except the loading method that can differ between two runs (docs/method.md, rule 8)."""
    facts = {
        "endpoint kind": record.endpoint_kind.replace("_", " "),
        # Shards are always read from S3, whatever the source of the weights for the sharding job.
        "weights source": "s3" if record.optimization else record.model.weights_from,
        "image": record.image,
        "model": record.model.model_id,
        "weights digest": record.model.digest or "unknown",
        "dtype": record.model.dtype or "unknown",
        "instance type": record.instance_type,
        "instance count": str(record.instance_count),
        "region": record.region,
        "target": record.target,
        "S3 shaping": json.dumps(record.network, sort_keys=True) if record.network else "none",
        "data cache": record.cache,
    }
    if record.deployment.caching:  # only a component has the setting; off is what every other start has
        facts["SageMaker's data cache"] = "on"
    if record.streaming:
        facts["streaming"] = record.streaming.state
    facts |= {f"{layer.name.replace('_', ' ')} before the start": layer.state for layer in record.layers}
    facts |= {f"environment {name}": value for name, value in _environment(record).items()}
    facts |= {f"version {name}": value for name, value in record.system.items() if name != "engine"}
    if record.start_probe:
        facts["start probe"] = "on"
    if engine := record.system.get("engine"):
        facts["engine"] = engine
    return facts


def _environment(record: RunRecord) -> Mapping[str, str]:
    """The configured container environment of the record's load path."""
    traits = LOAD_PATHS.get(record.path)
    section: Any = record.configuration.get(traits.section) if traits else None
    environment = section.get("container_env_vars") if isinstance(section, dict) else None
    if not isinstance(environment, dict):
        return {}
    return {str(name): str(value) for name, value in environment.items()}
