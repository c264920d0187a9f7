"""Learns coefficients from records: each span of a cold start is a measurement of one coefficient.

Only successful starts of the same population count, with an even clock and no restart. Where no span
separates image pull and download from provisioning (AWS writes no line for them), their sum moves
`provision_s` by what the published pull and download leave over.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from loadbench.predict.coefficients import Coefficients, Fitted, Population, Published, published_values
from loadbench.predict.groups import group_of
from loadbench.predict.machine_load import Pace, pace_of, sign_of
from loadbench.predict.physics import phases
from loadbench.predict.shrinkage import NORMAL_90
from loadbench.predict.start import StartSpec, spec_of_record
from loadbench.results.run_record import RunRecord
from loadbench.results.timeline import Span

# A transfer below this share of the network's limit was limited by something else, which it measures.
_BOUND_BY_NETWORK = 0.7
_LEAST_BYTES = 1e6  # smaller transfers measure latency, not rates
_LEAST_SECONDS = 1e-3
_PROVISION_AT_LEAST_S = 5.0  # of the sum that includes the pull


@dataclass(frozen=True)
class KnownStart:
    """A measured start."""

    start: StartSpec
    record: RunRecord
    total_s: float


def known_starts(records: Iterable[RunRecord], population: Population) -> list[KnownStart]:
    """The records that can be learned from or checked, oldest first."""
    found = []
    for record in sorted(records, key=lambda record: record.started_s):
        total_s = record.time_to_ready_s
        usable = record.status == "succeeded" and record.clock_problem is None and not record.restarts
        if record.target != population or not usable or not total_s or total_s <= 0 or record.cache == "warm":
            continue
        start = spec_of_record(record)
        if start is not None:
            found.append(KnownStart(start, record, total_s))
    return found


def learn(records: Iterable[RunRecord], population: Population) -> Coefficients:
    """Coefficients of one population: published values, updated by these records."""
    return learn_from(known_starts(records, population), population)


def learn_from(known: Sequence[KnownStart], population: Population) -> Coefficients:
    """Coefficients from measured starts."""
    values = dict(published_values()[population])
    if not known:
        return Coefficients(population, values)
    values |= _warmup_line(known, values)
    logs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    measured = [
        [
            (name, group_of(name, item.start), math.log(value))
            for name, value in _measurements(item, values)
            if value > 0 and math.isfinite(value)
        ]
        for item in known
    ]
    pace = _pace(known, measured) if population == "local" else Pace()
    own = dict(pace.points)
    for item, found in zip(known, measured, strict=True):
        start_s = item.record.started_s
        shift = own[start_s] if start_s in own else pace.at(start_s)[0]
        for name, group, value in found:
            logs[name][group].append(value - sign_of(name) * shift)
    sizes = [item.start.weights_bytes for item in known]
    fitted = Fitted(
        records=len(known),
        paths=frozenset(item.start.path for item in known),
        instance_types=frozenset(item.start.instance_type for item in known),
        images=frozenset(item.start.image_name for item in known),
        sizes_bytes=(min(sizes), max(sizes)),
        times_s=(known[0].record.started_s, known[-1].record.started_s),
    )
    return Coefficients(population, values, logs, fitted, pace)


def _pace(known: Sequence[KnownStart], measured: Sequence[Sequence[tuple[str, str, float]]]) -> Pace:
    """How busy the machine was, from each start with a measured container start."""
    found = [
        (item.record.started_s, group, value)
        for item, values in zip(known, measured, strict=True)
        for name, group, value in values
        if name == "container_start_s"
    ]
    return pace_of([row[0] for row in found], [row[1] for row in found], [row[2] for row in found])


def _measurements(item: KnownStart, values: dict[str, Published]) -> Iterator[tuple[str, float]]:
    spans: dict[str, list[Span]] = defaultdict(list)
    for span in item.record.spans:
        if span.certainty != "simulated":
            spans[span.name].append(span)
    request_s = item.record.deployment.request_s or 0.0
    job = item.record.optimization
    if job is not None and job.seconds and not job.reused:
        yield "optimization_job_s", job.seconds
    container = min(spans["container_start"], key=lambda span: span.start_s, default=None)
    if container is not None:
        yield "container_start_s", container.duration_s
        yield from _before_container(item, spans, container.start_s - request_s, values)
    yield from _weights(item.start, spans, container)
    warm = spans["engine_warmup"]
    if warm:
        yield "engine_warmup_scale", _length(warm) / _expected_warmup_s(item.start, values)
        ready_s = item.record.deployment.ready_s or 0.0
        yield "health_check_s", max(ready_s - max(span.end_s for span in warm), _LEAST_SECONDS)


def _before_container(
    item: KnownStart, spans: dict[str, list[Span]], lump_s: float, values: dict[str, Published]
) -> Iterator[tuple[str, float]]:
    """Provisioning, and the component's part of it; on AWS derived from everything before the container
    starts.
    """
    start = item.start
    if start.emulated:
        placed = [span for span in spans["provision"] if span.clock == "service" and span.worker]
        own = [span for span in spans["provision"] if span not in placed]
        yield "provision_s", max(_length(own), _LEAST_SECONDS)
        if placed and start.endpoint_kind == "inference_component":
            yield "component_s", _length(placed)
        return
    pulled = [span for span in spans["image_pull"] if span.certainty == "measured"]
    if pulled:
        yield (
            "provision_s",
            max(min(span.start_s for span in pulled) - (item.record.deployment.request_s or 0), 1),
        )
        return
    published = phases(start, lambda name: np.array([values[name].median]))
    other_s = sum(
        float(published[name].own_s[0]) for name in ("image_pull", "artifact_download") if name in published
    )
    if start.endpoint_kind == "inference_component":
        other_s += values["component_s"].median
    yield "provision_s", max(lump_s - other_s, _PROVISION_AT_LEAST_S)


def _weights(
    start: StartSpec, spans: dict[str, list[Span]], container: Span | None
) -> Iterator[tuple[str, float]]:
    downloads = [span for span in spans["artifact_download"] if span.certainty == "measured"]
    if start.loading == "download":
        yield from _transfer(start, downloads, "disk_intake_bytes_per_s")
    if start.loading == "hub" and (rate := _rate(downloads)):
        yield "hub_bytes_per_s", rate
    streams = spans["weights_stream"]
    yield from _transfer(start, streams, "stream_bytes_per_s")
    if start.loading == "stream_ahead" and streams and container is not None:
        delay_s = min(span.start_s for span in streams) - container.start_s
        yield "stream_delay_s", max(delay_s, _LEAST_SECONDS)
    for name in ("weights_to_host", "weights_to_device"):
        if rate := _rate(spans[name]):
            yield f"{name}_bytes_per_s", rate


def _transfer(start: StartSpec, spans: Sequence[Span], coefficient: str) -> Iterator[tuple[str, float]]:
    """The coefficient that a transfer measured: the network's share if the network was the limit, else the
    loader's maximum.
    """
    rate, limit = _rate(spans), start.network_limit
    if not rate:
        return
    if limit is None or rate < _BOUND_BY_NETWORK * limit:
        yield coefficient, rate
    elif start.emulated:
        yield "rate_share", rate / limit


def _rate(spans: Sequence[Span]) -> float | None:
    size_bytes, seconds = sum(span.size_bytes for span in spans), _length(spans)
    return size_bytes / seconds if size_bytes > _LEAST_BYTES and seconds > _LEAST_SECONDS else None


def _length(spans: Sequence[Span]) -> float:
    """From the first start to the last end."""
    return max(span.end_s for span in spans) - min(span.start_s for span in spans) if spans else 0.0


def _expected_warmup_s(start: StartSpec, values: dict[str, Published]) -> float:
    return _line_s(start, values) + _compile_s(start, values)


def _line_s(start: StartSpec, values: dict[str, Published]) -> float:
    fixed_s, s_per_gb = values["engine_warmup_fixed_s"].median, values["engine_warmup_s_per_gb"].median
    return fixed_s + s_per_gb * start.weights_gb


def _compile_s(start: StartSpec, values: dict[str, Published]) -> float:
    if start.compile_cache == "none":
        return 0.0
    return values[f"compile_{start.compile_cache}_s"].median * start.layer_share


def _warmup_line(known: Sequence[KnownStart], values: dict[str, Published]) -> dict[str, Published]:
    """Fixed seconds and seconds per GB of the warm-up: a line with the published one as its prior.

    Bayesian linear regression with relative noise (Bishop, Pattern Recognition and Machine Learning, 3.3).
    """
    names = ("engine_warmup_fixed_s", "engine_warmup_s_per_gb")
    rows, targets = [], []
    for item in known:
        warm = [span for span in item.record.spans if span.name == "engine_warmup"]
        seconds = _length(warm) - _compile_s(item.start, values)
        if warm and seconds > 0:
            rows.append([1.0, item.start.weights_gb])
            targets.append(seconds)
    if not rows:
        return {}
    design, observed = np.array(rows), np.array(targets)
    prior = np.array([values[name].median for name in names])
    prior_sd = prior * np.array([_relative(values[name]) for name in names])
    noise = observed * math.hypot(values["engine_warmup_scale"].between, values["engine_warmup_scale"].within)
    precision = np.diag(1 / prior_sd**2) + design.T @ (design / noise[:, None] ** 2)
    covariance = np.linalg.inv(precision)
    mean = covariance @ (prior / prior_sd**2 + design.T @ (observed / noise**2))
    learned = {}
    for name, value, variance in zip(names, mean, np.diag(covariance), strict=True):
        value = max(float(value), values[name].low / 10)
        half = math.exp(NORMAL_90 * min(math.sqrt(float(variance)) / value, _relative(values[name])))
        learned[name] = values[name].model_copy(
            update={"median": value, "low": value / half, "high": value * half}
        )
    return learned


def _relative(value: Published) -> float:
    return math.log(value.high / value.low) / 2 / NORMAL_90
