"""One timeline of a deployment from all that was seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadbench.results.timeline import Span
from loadbench.run.observe import embedded, serving, vllm, vllm_legacy
from loadbench.run.observe.lines import LogLine, unwrap
from loadbench.run.observe.status import ResourceTimes


@dataclass
class Seen:
    """What the followers and the poller brought home."""

    endpoint: ResourceTimes
    component: ResourceTimes
    inference_component: str | None
    ready_s: float | None
    history: list[tuple[float, str, str]] = field(default_factory=list)
    container: list[LogLine] = field(default_factory=list)
    platform: list[LogLine] = field(default_factory=list)


def assemble(seen: Seen) -> list[Span]:
    """All spans, sorted by start: statuses to look at, phases to partition."""
    phases = read_container(seen.container)
    platform = embedded.read_platform(seen.platform, seen.inference_component)
    # A platform that tells what it does leaves nothing to infer.
    phases += platform or infer_platform(seen)
    phases += _between(seen)
    return sorted([*_statuses(seen), *phases], key=lambda span: (span.start_s, span.end_s))


def read_container(lines: Sequence[LogLine]) -> list[Span]:
    """The phases in a container's log: stream by stream, and within one container after container."""
    spans: list[Span] = []
    for stream in dict.fromkeys(line.stream for line in lines):
        own = sorted((line for line in lines if line.stream == stream), key=lambda line: line.timestamp_s)
        if measured := embedded.read(own):
            spans += measured
            continue
        for entries in serving.attempts([unwrap(line) for line in own]):
            fetched = serving.read(entries)
            spans += [*fetched, *_around(fetched, vllm.read(entries) or vllm_legacy.read(entries))]
    return spans


def _around(fetched: Sequence[Span], spans: Sequence[Span]) -> list[Span]:
    """The container's start happens before and after what its front end fetched, not meanwhile."""
    pieces = list(spans)
    for download in fetched:
        for span in [span for span in pieces if span.name == "container_start"]:
            if span.start_s < download.start_s and download.end_s < span.end_s:
                pieces.remove(span)
                pieces.append(span.model_copy(update={"end_s": download.start_s}))
                pieces.append(span.model_copy(update={"start_s": download.end_s}))
    return pieces


def infer_platform(seen: Seen) -> list[Span]:
    """What AWS leaves no line about, from the edges of what it does tell.

    Before a container's first line lie provisioning, image pull and the platform's download, the last two in
    parallel, and nothing tells them apart: for a model-based endpoint all of it is `provision`. A component's
    endpoint is in service before the component is made, so there the instance (`provision`) and what follows
    (`image_pull`, which may hold a download) can be separated. After the server's readiness comes the wait
    for a health check that is seen.
    """
    spans: list[Span] = []
    first_line_s = min((line.timestamp_s for line in seen.container), default=None)
    if seen.inference_component:
        spans += _inferred("provision", seen.endpoint.created_s, seen.endpoint.in_service_s)
        spans += _inferred("image_pull", seen.component.created_s, first_line_s)
    else:
        spans += _inferred("provision", seen.endpoint.created_s, first_line_s)
    server_ready_s = serving.ready_time([unwrap(line) for line in seen.container])
    return [*spans, *_inferred("health_check", server_ready_s, seen.ready_s)]


def _between(seen: Seen) -> list[Span]:
    """From the endpoint's readiness until somebody, Terraform here, asked for the component.

    Up to ten seconds on AWS, where Terraform's polling has backed off by then. The instance is being provided
    for as long as nothing can be put on it, so this counts as `provision`.
    """
    start_s, end_s = seen.endpoint.in_service_s, seen.component.created_s
    if start_s is None or end_s is None or end_s < start_s:
        return []
    return [Span(name="provision", start_s=start_s, end_s=end_s, clock="service", worker="caller")]


def _inferred(name: str, start_s: float | None, end_s: float | None) -> list[Span]:
    if start_s is None or end_s is None or end_s < start_s:
        return []
    return [Span(name=name, start_s=start_s, end_s=end_s, clock="service", certainty="inferred")]


def _statuses(seen: Seen) -> list[Span]:
    """How long each resource was in each status until all was ready, as the poller saw it."""
    if not seen.history:
        return []
    last_s = max(seen.ready_s or 0.0, seen.history[-1][0])
    spans = []
    for resource in dict.fromkeys(resource for _, resource, _ in seen.history):
        changes = [(time_s, status) for time_s, name, status in seen.history if name == resource]
        ends = [time_s for time_s, _ in changes[1:]] + [last_s]
        for (start_s, status), end_s in zip(changes, ends, strict=True):
            spans.append(
                Span(name=f"{resource} {status}", start_s=start_s, end_s=max(start_s, end_s), clock="poller")
            )
    return spans
