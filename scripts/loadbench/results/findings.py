"""Conclusions from the phases of one start, in a few sentences; none if nothing is certain.

Each rule needs a dominant phase, or a fact of this start, and cites its source. Simulated or inferred time
alone never makes a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from loadbench.instance_types import instance_types
from loadbench.results import formatting
from loadbench.results.run_record import RunRecord
from loadbench.results.run_summary import RunSummary, point_of
from loadbench.results.timeline import DETAILS, WEIGHTS_PHASES

MOST = 5
_DOMINATES = 0.5
_NOTABLE = 0.2
_MUCH_S = 10.0
_OVER_NETWORK = ("artifact_download", "weights_stream")
_BYTES_PER_GBIT = 1e9 / 8

Rule = Callable[[RunRecord, RunSummary, float], Iterator[str]]


def findings(record: RunRecord) -> list[str]:
    """At most five sentences, the most important first."""
    run, total_s = point_of(record), record.time_to_ready_s
    if not total_s or record.status != "succeeded":
        return []
    return [text for rule in _RULES for text in rule(record, run, total_s)][:MOST]


def _restarts(record: RunRecord, run: RunSummary, total_s: float) -> Iterator[str]:
    """docs/facts/vllm.md#sagemaker-image: the supervisor starts a crashed server again."""
    lost_s = run.seconds_in("failed_start")
    if record.restarts and lost_s > 0:
        reason = next((item.reason for item in reversed(record.restarts) if item.reason), None)
        why = f" ({reason})" if reason else ""
        lost = formatting.seconds(lost_s)
        yield f"{lost} were spent on a server that ended before it was ready{why}: fix that first."


def _streaming(record: RunRecord, run: RunSummary, total_s: float) -> Iterator[str]:
    """docs/method.md, rule 7: streaming is claimed only with evidence."""
    if record.streaming is None or record.streaming.state == "shown":
        return
    why = record.streaming.evidence
    if record.streaming.state == "contradicted":
        yield f"The weights were not streamed past the disk, although the log says so: {why}."
    else:
        yield f"That the weights were streamed is inferred: {why}."


def _data_cache(record: RunRecord, run: RunSummary, total_s: float) -> Iterator[str]:
    """docs/facts/aws-evidence.md#no-data-cache: it may be on by default on instances with accelerators."""
    if record.deployment.caching:
        yield "SageMaker's data cache was on: a later copy may find weights and image on its instance."


def _imports(record: RunRecord, run: RunSummary, total_s: float) -> Iterator[str]:
    """docs/facts/vllm.md#a-real-vllm-on-a-cpu: imports in API server, engine core and worker."""
    seconds = run.detail_in("container_start", "imports") or 0.0
    if seconds >= _MUCH_S and seconds >= _NOTABLE * total_s:
        took, share = formatting.seconds(seconds), f"{100 * seconds / total_s:.0f} %"
        yield f"Imports take {took}, {share} of the cold start; no loader changes that."


def _compilation(record: RunRecord, run: RunSummary, total_s: float) -> Iterator[str]:
    """docs/facts/vllm.md#published-start-times: the compile cache took an engine's start from 92 to 38 s."""
    seconds = run.detail_in("engine_warmup", "compilation") or 0.0
    cold = any(layer.name == "compile_cache" and layer.state == "cold" for layer in record.layers)
    if cold and seconds >= _MUCH_S and seconds >= _NOTABLE * total_s:
        yield (
            f"Compilation takes {formatting.seconds(seconds)} with an empty compile cache: "
            "keep VLLM_CACHE_ROOT with the model, and the next start loads the graphs."
        )


def _weights(record: RunRecord, run: RunSummary, total_s: float) -> Iterator[str]:
    """docs/method.md, rule 7: a change of a phase saves at most that phase's share."""
    own_s, busy_s = sum(run.seconds_in(name) for name in WEIGHTS_PHASES), run.weights_busy_s
    own, share = formatting.seconds(own_s), f"{100 * own_s / total_s:.0f} %"
    if own_s >= _DOMINATES * total_s:
        yield f"Loading weights takes {share} of the cold start: faster loading comes first."
    elif own_s < 0.1 * total_s and busy_s >= 2 * own_s + 1.0:
        yield (
            f"Weights load for {formatting.seconds(busy_s)}, nearly all of it during the container's start: "
            f"even the fastest loader saves at most {own} ({share})."
        )
    elif own_s < 0.1 * total_s and busy_s > 0:
        yield (
            f"Loading weights takes {share} of the cold start: even the fastest loader saves at most {own}."
        )


def _network(record: RunRecord, run: RunSummary, total_s: float) -> Iterator[str]:
    """docs/facts/sagemaker.md#instance-figures: the network's rate at its burst, so a lower bound."""
    took_s = sum(
        share.busy_s for share in run.phases if share.name in _OVER_NETWORK and share.certainty == "measured"
    )
    rate_bytes_per_s, size_bytes = _network_bytes_per_s(record), record.model.size_bytes
    if not rate_bytes_per_s or not size_bytes or took_s < max(_NOTABLE * total_s, _MUCH_S):
        return
    least_s = size_bytes / rate_bytes_per_s
    if least_s <= took_s:
        size, rate = formatting.size_bytes(size_bytes), f"{rate_bytes_per_s / _BYTES_PER_GBIT:.3g} Gbit/s"
        took, least = formatting.seconds(took_s), formatting.seconds(least_s)
        yield (
            f"{size} of weights took {took} over the network; "
            f"at the {rate} of {record.instance_type} they take at least {least}."
        )


def _network_bytes_per_s(record: RunRecord) -> float | None:
    """The instance's limit: on the embedded AWS the configured one, if any."""
    if record.target == "local":
        return (record.network or {}).get("instance_bytes_per_s")
    known = instance_types().get(record.instance_type)
    return known.network_gbit_per_s * _BYTES_PER_GBIT if known else None


def _largest(record: RunRecord, run: RunSummary, total_s: float) -> Iterator[str]:
    """docs/method.md, rule 7."""
    measured = [
        share for share in run.phases if share.certainty == "measured" and share.name != "unattributed"
    ]
    largest = max(measured, key=lambda share: share.seconds, default=None)
    if largest is None or largest.seconds < _DOMINATES * total_s or largest.name not in DETAILS:
        return
    inner = [item for item in run.details if item.phase == largest.name]
    finer = max(inner, key=lambda item: item.seconds, default=None)
    dominant = finer is not None and finer.seconds > largest.seconds / 2
    most = f", most of it {formatting.name(finer.name)}" if finer and dominant else ""
    part = f"{100 * largest.seconds / total_s:.0f} %"
    yield f"{formatting.name(largest.name).capitalize()} is {part} of the cold start{most}."


_RULES: tuple[Rule, ...] = (
    _restarts,
    _streaming,
    _data_cache,
    _largest,
    _weights,
    _network,
    _imports,
    _compilation,
)
